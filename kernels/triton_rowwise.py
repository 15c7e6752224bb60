"""Triton kernels of `rowwise_ops`: passes over many rows without matmuls.

Letters: X heads and sequences together, T query positions, S key positions, R distances, E scores
of a row, K of them chosen.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_PROGRAM_SCORES = 2048
# Of a row of keys: more warps would leave each with less than a load.
_KEYS_OF_A_WARP, _MOST_WARPS = 256, 8


@triton.jit(do_not_specialize=["n_rows"])
def largest_indices_kernel(
    score_ptr,  # [rows, E], float32
    index_ptr,  # [rows, K], int64
    n_rows,
    E: tl.constexpr,
    K: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """Write the columns of the K largest scores of each row, largest first."""
    LOWEST: tl.constexpr = -(2**31)
    HIGHEST: tl.constexpr = 2**31 - 1
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    column = tl.arange(0, BLOCK_E)[None, :]
    is_row, is_score = row < n_rows, column < E
    cell = row.to(tl.int64)[:, None] * E + column
    # Adding zero makes -0.0 equal to 0.0.
    score = tl.load(score_ptr + cell, mask=is_row[:, None] & is_score, other=0.0) + 0.0
    # Integers in the order of the floats, so that every comparison has an answer, with NaN too.
    bits = score.to(tl.int32, bitcast=True)
    key = tl.where(score == score, bits ^ ((bits >> 31) & 0x7FFFFFFF), HIGHEST)
    key = tl.where(is_score, key, LOWEST)
    for rank in tl.static_range(K):
        largest = tl.max(key, axis=1)[:, None]
        first = tl.min(tl.where(key == largest, column, BLOCK_E - 1), axis=1)
        tl.store(index_ptr + row.to(tl.int64) * K + rank, first.to(tl.int64), mask=is_row)
        key = tl.where(column == first[:, None], LOWEST, key)


def largest_indices(scores: Tensor, index: Tensor) -> None:
    """Write the indices of the largest scores.

    Args:
        scores: Shape [..., E], float32, contiguous.
        index: Shape [..., K], int64, contiguous; overwritten.
    """
    n_scores, k = scores.shape[-1], index.shape[-1]
    n_rows = index.numel() // k
    block_e = int(triton.next_power_of_2(n_scores))
    block_rows = max(1, _PROGRAM_SCORES // block_e)
    with torch.cuda.device_of(scores):
        largest_indices_kernel[(triton.cdiv(n_rows, block_rows),)](
            scores, index, n_rows, E=n_scores, K=k, BLOCK_ROWS=block_rows, BLOCK_E=block_e
        )


@triton.jit(do_not_specialize=["n_sequences", "mask_stride"])
def relative_softmax_kernel(
    content_ptr,  # [X, T, S]; overwritten
    by_distance_ptr,  # [X, T, R]
    mask_ptr,  # rows of S, or None
    n_sequences,
    mask_stride,  # elements from a sequence's mask to the next one's
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
        # What is masked may be anything, NaN too.
        is_seen &= added != float("-inf")
    score = tl.where(is_seen, score, float("-inf"))
    weight = tl.exp(score - tl.max(score, axis=0))
    weight = weight / tl.sum(weight, axis=0)
    tl.store(content_ptr + row * S + key, weight.to(content_ptr.dtype.element_ty), mask=is_key)


def relative_softmax(
    content_XTS: Tensor, by_distance_XTR: Tensor, mask: Tensor | None, n_sequences: int
) -> None:
    """Turn scores into attention weights; arguments as in `rowwise_ops.relative_softmax`."""
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
    """Write the gradient of scores over that of weights, and by distance, zero elsewhere."""
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
    """Turn gradients of weights into those of scores; arguments as in `rowwise_ops`.

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
    return max(1, min(_MOST_WARPS, n_keys // _KEYS_OF_A_WARP))
