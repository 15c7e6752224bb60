"""Rows routed to experts: each row times the weights of its chosen experts, gated and summed."""

from switchhead_kernels.expert_matmul.op import Backend, Rows, expert_matmul

__all__ = ["Backend", "Rows", "expert_matmul"]
