"""Row-wise sums of partial results, in Triton."""

import triton
import triton.language as tl
from torch import Tensor

_SUM_ELEMENTS = 1024  # per program of `sum_kernel`


@triton.jit(do_not_specialize=["n_rows", "stride_part"])
def sum_kernel(
    part_ptr,
    out_ptr,
    n_rows,
    stride_part,
    STRIDE_ROW: tl.constexpr,
    WIDTH: tl.constexpr,
    N_PARTS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
):
    """Add up float32 parts of rows one after the other, and round the sums once."""
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    column = tl.program_id(1) * BLOCK_WIDTH + tl.arange(0, BLOCK_WIDTH)
    row = row.to(tl.int64)[:, None]
    is_cell = (row < n_rows) & (column < WIDTH)[None, :]
    cells = part_ptr + row * STRIDE_ROW + column[None, :]
    sums = tl.zeros((BLOCK_ROWS, BLOCK_WIDTH), dtype=tl.float32)
    for part in range(N_PARTS):
        offset = stride_part.to(tl.int64) * part
        sums += tl.load(cells + offset, mask=is_cell, other=0.0).to(tl.float32)
    out = out_ptr + row * WIDTH + column[None, :]
    tl.store(out, sums.to(out_ptr.dtype.element_ty), mask=is_cell)


def sum_parts(
    part: Tensor, out_RC: Tensor, n_parts: int, stride_row: int, stride_part: int
) -> None:
    """Add up the parts of each row of `out_RC`.

    Args:
        part: float32; part p of row r starts at element r * stride_row + p * stride_part.
        out_RC: Shape [rows, columns], any float dtype; overwritten.
        n_parts: Parts of a row.
        stride_row: Elements between the first parts of successive rows.
        stride_part: Elements between successive parts of a row.
    """
    n_rows, width = out_RC.shape
    if not out_RC.numel():
        return
    block_width = min(256, triton.next_power_of_2(width))
    block_rows = _SUM_ELEMENTS // block_width
    grid = (triton.cdiv(n_rows, block_rows), triton.cdiv(width, block_width))
    sum_kernel[grid](
        part,
        out_RC,
        n_rows,
        stride_part,
        STRIDE_ROW=stride_row,
        WIDTH=width,
        N_PARTS=n_parts,
        BLOCK_ROWS=block_rows,
        BLOCK_WIDTH=block_width,
        num_warps=4,
    )
