"""Causal attention on a CPU, in blocks of queries."""

from switchhead_kernels.causal_attention.op import attend_causal, matmuls_are_faster

__all__ = ["attend_causal", "matmuls_are_faster"]
