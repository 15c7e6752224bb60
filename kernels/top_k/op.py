"""The largest scores of each row: fused on CPUs and CUDA, else by sorting.

Letters: E scores per row.
"""

import torch
from torch import Tensor

from switchhead_kernels.native import library
from switchhead_kernels.top_k import reference
from switchhead_kernels.top_k.custom_op import largest_indices_op

_MOST_CHOICES = 128  # as in `largest_indices` of top_k.cpp


def largest_indices(scores: Tensor, k: int) -> Tensor:
    """Return the indices of each row's `k` largest scores, largest first, int64.

    Ties go to the lower index, so that runs repeat.

    Args:
        scores: Shape [..., E], any float dtype.
        k: Number of indices per row, at most E.
    """
    scores = scores.detach()
    n_experts = scores.shape[-1]
    is_known = scores.dtype == torch.float32 and n_experts <= _MOST_CHOICES
    if is_known and library.is_usable(scores):
        index = scores.new_empty(*scores.shape[:-1], k, dtype=torch.int64)
        library.call("largest_indices", scores, scores.numel() // n_experts, n_experts, k, index)
        return index
    if scores.device.type == "cuda" and scores.dtype != torch.float64:
        return largest_indices_op(scores, k)  # type: ignore[no-any-return]
    return reference.largest_indices(scores, k)
