"""The fused softmax for CUDA devices, in Triton, as PyTorch operators for torch.compile.

Letters: X heads and sequences together, T query positions, S key positions, R distances.
"""

import torch
from torch import Tensor

_library = torch.library.Library("switchhead", "FRAGMENT")
for _schema in (
    "relative_softmax_(Tensor(a!) content, Tensor by_distance, Tensor? mask, int n_sequences)"
    " -> ()",
    "relative_softmax_gradient_(Tensor(a!) grad, Tensor weight, int width) -> Tensor",
):
    _library.define(_schema, tags=torch.Tag.pt2_compliant_tag)
relative_softmax_op = torch.ops.switchhead.relative_softmax_
relative_softmax_gradient_op = torch.ops.switchhead.relative_softmax_gradient_


def relative_softmax(
    content_XTS: Tensor, by_distance_XTR: Tensor, mask: Tensor | None, n_sequences: int
) -> None:
    """Turn scores by content and by distance into attention weights, in place.

    Args:
        content_XTS: Shape [X, T, S], contiguous, any float dtype that Triton supports;
            overwritten.
        by_distance_XTR: Shape [X, T, R], contiguous, same dtype.
        mask: As in `fused.relative_softmax_`.
        n_sequences: B; map x belongs to sequence x mod B.
    """
    # Deferred, like all imports of Triton: machines without a GPU do not need it.
    from switchhead_kernels.relative_attention import triton_softmax

    triton_softmax.relative_softmax(content_XTS, by_distance_XTR, mask, n_sequences)


def relative_softmax_gradient(grad_XTS: Tensor, weight_XTS: Tensor, width: int) -> Tensor:
    """Turn the gradient of attention weights into that of scores in place; return that by distance.

    Args:
        grad_XTS: Shape [X, T, S], contiguous; overwritten.
        weight_XTS: Same shape and dtype: what `relative_softmax` wrote.
        width: Columns R of the scores by distance.

    Returns:
        Shape [X, T, R].
    """
    from switchhead_kernels.relative_attention import triton_softmax

    shape = (*grad_XTS.shape[:2], width)
    by_distance_XTR = torch.empty(shape, dtype=grad_XTS.dtype, device=grad_XTS.device)
    triton_softmax.relative_softmax_gradient(grad_XTS, weight_XTS, by_distance_XTR)
    return by_distance_XTR


_library.impl("relative_softmax_", relative_softmax, "CompositeExplicitAutograd")
_library.impl("relative_softmax_gradient_", relative_softmax_gradient, "CompositeExplicitAutograd")


@torch.library.register_fake("switchhead::relative_softmax_", lib=_library)
def _(_content: Tensor, _by_distance: Tensor, _mask: Tensor | None, _n_sequences: int) -> None:
    return None


@torch.library.register_fake("switchhead::relative_softmax_gradient_", lib=_library)
def _(grad: Tensor, _weight: Tensor, width: int) -> Tensor:
    return grad.new_empty((*grad.shape[:2], width))
