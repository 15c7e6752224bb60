"""The Triton kernels of `custom_op`: one program per row of keys.

Letters: X heads and sequences together, T query positions, S key positions, R distances.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# With fewer keys per warp, each would have less than one load.
_KEYS_PER_WARP, _MOST_WARPS = 256, 8


@triton.jit(do_not_specialize=["n_sequences", "mask_stride"])
def relative_softmax_kernel(
    content_ptr,  # [X, T, S]; overwritten
    by_distance_ptr,  # [X, T, R]
    mask_ptr,  # rows of S, or None
    n_sequences,
    mask_stride,  # elements between the masks of successive sequences
    T: tl.constexpr,
    S: tl.constexpr,
    R: tl.constexpr,
    MASK_ROWS: tl.constexpr,  # 1, or T
    BLOCK_S: tl.constexpr,
):
    """Write softmax(content[x, t, s] + by_distance[x, t, T - 1 - t + s] + mask) over content."""
    row = tl.program_id(0).to(tl.int64)
    x, t = row // T, row % T
    key = tl.arange(0, BLOCK_S)
    column = T - 1 - t + key
    is_key = key < S
    score = tl.load(content_ptr + row * S + key, mask=is_key, other=0.0).to(tl.float32)
    # Keys whose distance has no column are masked.
    is_near = is_key & (column < R)
    score += tl.load(by_distance_ptr + row * R + column, mask=is_near, other=0.0).to(tl.float32)
    is_seen = is_key
    if mask_ptr is not None:
        mask_row = 0 if MASK_ROWS == 1 else t
        mask_cell = (x % n_sequences) * mask_stride + mask_row * S + key
        added = tl.load(mask_ptr + mask_cell, mask=is_key, other=0.0).to(tl.float32)
        score += added
        # Masked scores may be anything, even NaN.
        is_seen &= added != float("-inf")
    score = tl.where(is_seen, score, float("-inf"))
    weight = tl.exp(score - tl.max(score, axis=0))
    weight = weight / tl.sum(weight, axis=0)
    tl.store(content_ptr + row * S + key, weight.to(content_ptr.dtype.element_ty), mask=is_key)


def relative_softmax(
    content_XTS: Tensor, by_distance_XTR: Tensor, mask: Tensor | None, n_sequences: int
) -> None:
    """Turn scores into attention weights; arguments as in `custom_op.relative_softmax`."""
    X, T, S = content_XTS.shape
    n_rows = stride = 0
    if mask is not None:
        n_rows, mask = mask.shape[-2], mask.contiguous()
        stride = 0 if mask.dim() == 2 else mask.stride(0)
    if not content_XTS.numel():
        return
    block = int(triton.next_power_of_2(S))
    with torch.cuda.device_of(content_XTS):
        relative_softmax_kernel[(X * T,)](
            content_XTS,
            by_distance_XTR,
            mask,
            n_sequences,
            stride,
            T=T,
            S=S,
            R=by_distance_XTR.shape[2],
            MASK_ROWS=n_rows,
            BLOCK_S=block,
            num_warps=_n_warps(block),
        )


@triton.jit
def relative_softmax_gradient_kernel(
    grad_ptr,  # [X, T, S]; overwritten
    weight_ptr,  # [X, T, S]
    by_distance_ptr,  # [X, T, R]
    T: tl.constexpr,
    S: tl.constexpr,
    R: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """Turn the gradient of weights into that of scores, in place and by distance (else zero)."""
    row = tl.program_id(0).to(tl.int64)
    t = row % T
    key = tl.arange(0, BLOCK_S)
    is_key = key < S
    grad = tl.load(grad_ptr + row * S + key, mask=is_key, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + row * S + key, mask=is_key, other=0.0).to(tl.float32)
    score = weight * (grad - tl.sum(grad * weight, axis=0))
    score = score.to(grad_ptr.dtype.element_ty)
    tl.store(grad_ptr + row * S + key, score, mask=is_key)
    first = T - 1 - t
    distances = by_distance_ptr + row * R
    tl.store(distances + first + key, score, mask=is_key & (first + key < R))
    column = tl.arange(0, BLOCK_R)
    is_other = (column < R) & ((column < first) | (column >= first + S))
    tl.store(distances + column, tl.zeros((BLOCK_R,), score.dtype), mask=is_other)


def relative_softmax_gradient(
    grad_XTS: Tensor, weight_XTS: Tensor, by_distance_XTR: Tensor
) -> None:
    """Turn gradients of weights into those of scores; arguments as in `custom_op`.

    Args:
        grad_XTS: Shape [X, T, S], contiguous; overwritten.
        weight_XTS: Same shape and dtype, contiguous.
        by_distance_XTR: Shape [X, T, R], same dtype, contiguous; overwritten.
    """
    X, T, S = grad_XTS.shape
    R = by_distance_XTR.shape[2]
    if not grad_XTS.numel():
        return
    block = int(triton.next_power_of_2(S))
    with torch.cuda.device_of(grad_XTS):
        relative_softmax_gradient_kernel[(X * T,)](
            grad_XTS,
            weight_XTS,
            by_distance_XTR,
            T=T,
            S=S,
            R=R,
            BLOCK_S=block,
            BLOCK_R=int(triton.next_power_of_2(R)),
            num_warps=_n_warps(block),
        )


def _n_warps(n_keys: int) -> int:
    return max(1, min(_MOST_WARPS, n_keys // _KEYS_PER_WARP))
