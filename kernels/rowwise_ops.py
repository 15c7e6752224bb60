"""Passes of `rowwise` on CUDA devices, by Triton, as PyTorch operators that torch.compile knows.

Letters: X heads and sequences together, T query positions, S key positions, R distances.
"""

import torch
from torch import Tensor

_library = torch.library.Library("switchhead", "FRAGMENT")
for _schema in (
    "largest_indices(Tensor scores, int k) -> Tensor",
    "relative_softmax_(Tensor(a!) content, Tensor by_distance, Tensor? mask, int n_sequences)"
    " -> ()",
    "relative_softmax_gradient_(Tensor(a!) grad, Tensor weight, int width) -> Tensor",
):
    _library.define(_schema, tags=torch.Tag.pt2_compliant_tag)
largest_indices_op = torch.ops.switchhead.largest_indices
relative_softmax_op = torch.ops.switchhead.relative_softmax_
relative_softmax_gradient_op = torch.ops.switchhead.relative_softmax_gradient_


def largest_indices(scores: Tensor, k: int) -> Tensor:
    """Return the indices of each row's `k` largest scores, largest first, int64.

    A general sort takes a block of threads for each row, 150 us for the 65,000 rows of five scores
    in a layer of the paper's 47M model. Here a program takes many rows.

    Ties go to the lower index, and NaN counts as larger than any number, as in `torch.sort`.

    Args:
        scores: Shape [..., E], float32, float16 or bfloat16.
        k: How many, at most E.
    """
    # Deferred, like all imports of Triton: machines without a GPU do without it.
    from switchhead_kernels import triton_rowwise

    index = torch.empty((*scores.shape[:-1], k), dtype=torch.int64, device=scores.device)
    if index.numel():
        triton_rowwise.largest_indices(scores.float().contiguous(), index)
    return index


def relative_softmax(
    content_XTS: Tensor, by_distance_XTR: Tensor, mask: Tensor | None, n_sequences: int
) -> None:
    """Turn scores by content and by distance into attention weights, in place.

    Args:
        content_XTS: Shape [X, T, S], contiguous, any float dtype of Triton; overwritten.
        by_distance_XTR: Shape [X, T, R], contiguous, same dtype.
        mask: As in `rowwise.relative_softmax_`.
        n_sequences: B; map x is of sequence x mod B.
    """
    from switchhead_kernels import triton_rowwise

    triton_rowwise.relative_softmax(content_XTS, by_distance_XTR, mask, n_sequences)


def relative_softmax_gradient(grad_XTS: Tensor, weight_XTS: Tensor, width: int) -> Tensor:
    """Turn the gradient of attention weights into that of scores, in place; return by distance.

    Args:
        grad_XTS: Shape [X, T, S], contiguous; overwritten.
        weight_XTS: Same shape and dtype: what `relative_softmax` made.
        width: Columns R of the scores by distance.

    Returns:
        Shape [X, T, R].
    """
    from switchhead_kernels import triton_rowwise

    shape = (*grad_XTS.shape[:2], width)
    by_distance_XTR = torch.empty(shape, dtype=grad_XTS.dtype, device=grad_XTS.device)
    triton_rowwise.relative_softmax_gradient(grad_XTS, weight_XTS, by_distance_XTR)
    return by_distance_XTR


_library.impl("largest_indices", largest_indices, "CompositeExplicitAutograd")
_library.impl("relative_softmax_", relative_softmax, "CompositeExplicitAutograd")
_library.impl("relative_softmax_gradient_", relative_softmax_gradient, "CompositeExplicitAutograd")


@torch.library.register_fake("switchhead::largest_indices", lib=_library)
def _(scores: Tensor, k: int) -> Tensor:
    return scores.new_empty((*scores.shape[:-1], k), dtype=torch.int64)


@torch.library.register_fake("switchhead::relative_softmax_", lib=_library)
def _(_content: Tensor, _by_distance: Tensor, _mask: Tensor | None, _n_sequences: int) -> None:
    return None


@torch.library.register_fake("switchhead::relative_softmax_gradient_", lib=_library)
def _(grad: Tensor, _weight: Tensor, width: int) -> Tensor:
    return grad.new_empty((*grad.shape[:2], width))
