"""Rows routed to experts: each row times the weights of its chosen experts, gated and summed."""

from switchhead_kernels.expert_matmul.op import project_outputs, project_values

__all__ = ["project_outputs", "project_values"]
