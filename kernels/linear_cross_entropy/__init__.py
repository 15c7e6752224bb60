"""Fused output layer and cross-entropy."""

from switchhead_kernels.linear_cross_entropy.op import linear_cross_entropy

__all__ = ["linear_cross_entropy"]
