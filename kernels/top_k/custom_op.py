"""The largest scores on CUDA devices, in Triton, as a PyTorch operator for torch.compile."""

import torch
from torch import Tensor

_library = torch.library.Library("switchhead", "FRAGMENT")
_library.define("largest_indices(Tensor scores, int k) -> Tensor", tags=torch.Tag.pt2_compliant_tag)
largest_indices_op = torch.ops.switchhead.largest_indices


def largest_indices(scores: Tensor, k: int) -> Tensor:
    """Return the indices of each row's `k` largest scores, largest first, int64.

    A general sort uses one thread block per row, 150 us for the 65,000 rows of five scores in a
    layer of the paper's 47M model. Here each program handles many rows.

    Ties go to the lower index, and NaN counts as larger than any number, as in `torch.sort`.

    Args:
        scores: Shape [..., E], float32, float16 or bfloat16.
        k: Number of indices per row, at most E.
    """
    # Deferred, like all imports of Triton: machines without a GPU do not need it.
    from switchhead_kernels.top_k import triton_top_k

    index = torch.empty((*scores.shape[:-1], k), dtype=torch.int64, device=scores.device)
    if index.numel():
        triton_top_k.largest_indices(scores.float().contiguous(), index)
    return index


_library.impl("largest_indices", largest_indices, "CompositeExplicitAutograd")


@torch.library.register_fake("switchhead::largest_indices", lib=_library)
def _(scores: Tensor, k: int) -> Tensor:
    return scores.new_empty((*scores.shape[:-1], k), dtype=torch.int64)
