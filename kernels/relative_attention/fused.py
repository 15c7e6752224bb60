"""The fused passes: softmax over content and relative scores, its gradient, and a transposition.

Functions whose names end in an underscore overwrite their first argument.

Letters: X attention maps (H * B), H heads, B sequences, T query positions, S key positions,
R distances, P d_head.
"""

from torch import Tensor

from switchhead_kernels.native import library
from switchhead_kernels.native.library import SUFFIXES
from switchhead_kernels.relative_attention.custom_op import (
    relative_softmax_gradient_op,
    relative_softmax_op,
)


def has_relative_softmax(x: Tensor) -> bool:
    """Return whether `relative_softmax_` supports tensors like `x`."""
    return x.dtype in SUFFIXES and (x.device.type == "cuda" or library.is_usable(x))


def relative_softmax_(
    content_XTS: Tensor, by_distance_XTR: Tensor, mask: Tensor | None, n_sequences: int
) -> Tensor:
    """Turn scores by content and by distance into attention weights; return the first argument.

    Query i of T is at position S - T + i, so its key j is at distance column T - 1 - i + j.
    Where the mask is -inf, scores may be anything.

    Args:
        content_XTS: Shape [X, T, S], contiguous, float32 or bfloat16, on CPU or GPU.
        by_distance_XTR: Shape [X, T, R], R > S, contiguous, same dtype.
        mask: Added to the scores, same dtype: shape [T, S], or [B, 1, S] or [B, T, S]; None for 0.
        n_sequences: B; map x belongs to sequence x mod B.
    """
    if content_XTS.device.type == "cuda":
        relative_softmax_op(content_XTS, by_distance_XTR, mask, n_sequences)
        return content_XTS
    n_rows = stride = 0
    if mask is not None:
        n_rows, stride = mask.shape[-2], 0 if mask.dim() == 2 else mask.stride(0)
        mask = mask.contiguous()
    sizes = (*content_XTS.shape, by_distance_XTR.shape[2])
    name = f"relative_softmax_{SUFFIXES[content_XTS.dtype]}"
    library.call(name, content_XTS, by_distance_XTR, mask, n_sequences, n_rows, stride, *sizes)
    return content_XTS


def relative_softmax_gradient_(grad_XTS: Tensor, weight_XTS: Tensor, width: int) -> Tensor:
    """Turn the gradient of attention weights into that of scores by content; return by distance.

    Args:
        grad_XTS: Shape [X, T, S], contiguous, float32 or bfloat16, on CPU or GPU.
        weight_XTS: Same shape and dtype: what `relative_softmax_` wrote.
        width: Columns R of the scores by distance.

    Returns:
        Shape [X, T, R].
    """
    if grad_XTS.device.type == "cuda":
        return relative_softmax_gradient_op(grad_XTS, weight_XTS, width)  # type: ignore[no-any-return]
    by_distance_XTR = grad_XTS.new_empty(*grad_XTS.shape[:2], width)
    name = f"relative_softmax_gradient_{SUFFIXES[grad_XTS.dtype]}"
    library.call(name, grad_XTS, weight_XTS, by_distance_XTR, *grad_XTS.shape, width)
    return by_distance_XTR


def channels_last(x_HBPS: Tensor) -> Tensor:
    """Return a tensor in the memory layout that the gradient of a projection to heads reads.

    Args:
        x_HBPS: Shape [H, B, P, S]: by head, sequence, channel and position.

    Returns:
        Shape [H, B, S, P], in memory as [B, S, H, P].
    """
    H, B, P, S = x_HBPS.shape
    out_BSHP = x_HBPS.new_empty(B, S, H, P)
    if x_HBPS.dtype in SUFFIXES and library.is_usable(x_HBPS):
        name = f"channels_last_{SUFFIXES[x_HBPS.dtype]}"
        library.call(name, x_HBPS, *x_HBPS.shape, out_BSHP)
    else:
        out_BSHP.copy_(x_HBPS.permute(1, 3, 0, 2))
    return out_BSHP.permute(2, 0, 1, 3)
