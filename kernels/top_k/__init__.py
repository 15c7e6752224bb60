"""The indices of each row's largest scores, such as the chosen experts."""

from switchhead_kernels.top_k.op import largest_indices

__all__ = ["largest_indices"]
