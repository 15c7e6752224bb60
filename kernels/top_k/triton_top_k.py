"""The Triton kernel of `custom_op`.

Letters: E scores per row, K of them chosen.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_PROGRAM_SCORES = 2048


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
    # Integers in the order of the floats: a total order, NaN included.
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
