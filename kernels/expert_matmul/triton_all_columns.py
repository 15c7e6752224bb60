"""Triton kernel of matmuls with narrow inputs: a program computes all columns of its slots.

Letters as in `triton_matmul.py`.
"""

import triton
import triton.language as tl

from switchhead_kernels.expert_matmul import triton_configs as tiles
from switchhead_kernels.expert_matmul.triton_matmul import dot_with_other, find_slots, write


@triton.jit
def _load_rows(rows, inner, is_row, WIDTH: tl.constexpr, UPCAST: tl.constexpr):
    x = tl.load(rows + inner[None, :], mask=is_row[:, None] & (inner < WIDTH)[None, :], other=0.0)
    return x.to(tl.float32) if UPCAST else x


@triton.jit
def _load_columns(
    columns, inner, is_column, WIDTH: tl.constexpr, STRIDE_IN: tl.constexpr, UPCAST: tl.constexpr
):
    at = inner[:, None] * STRIDE_IN
    weight = tl.load(columns + at, mask=(inner < WIDTH)[:, None] & is_column, other=0.0)
    return weight.to(tl.float32) if UPCAST else weight


@triton.jit(do_not_specialize=["n_slots", "bucket"])
def all_columns_kernel(
    x_ptr,  # as in `matmul_kernel`, and so all that follow
    weight_ptr,
    order_ptr,
    offset_ptr,
    gate_ptr,
    out_ptr,
    other_ptr,
    dot_ptr,
    n_slots,  # noqa: ARG001 (rows of `dot_ptr`, which here has one)
    bucket,  # noqa: ARG001
    N_GROUPS: tl.constexpr,
    WIDTH_IN: tl.constexpr,
    WIDTH_OUT: tl.constexpr,
    STRIDE: tl.constexpr,
    TRANSPOSED: tl.constexpr,
    PER_X: tl.constexpr,
    PER_OUT: tl.constexpr,
    PER_OTHER: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,  # columns of x in a first tile; a second, narrower one has the rest
):
    """Write what `matmul_kernel` does; rows of x are loaded once, and stay."""
    STRIDE_IN: tl.constexpr = 1 if TRANSPOSED else STRIDE
    STRIDE_OUT: tl.constexpr = STRIDE if TRANSPOSED else 1
    REST: tl.constexpr = WIDTH_IN - BLOCK_K
    group, slot, is_row = find_slots(tl.program_id(0), offset_ptr, order_ptr, N_GROUPS, BLOCK_M)
    if group >= N_GROUPS:
        return
    weight_ptr += group.to(tl.int64) * ((WIDTH_OUT if TRANSPOSED else WIDTH_IN) * STRIDE)
    x_rows = x_ptr + (slot // PER_X).to(tl.int64)[:, None] * WIDTH_IN
    inner = tl.arange(0, BLOCK_K)
    x_MK = _load_rows(x_rows, inner, is_row, WIDTH_IN, UPCAST)
    if REST > 0:
        rest = BLOCK_K + tl.arange(0, tiles.tile_width(REST))
        rest_MK = _load_rows(x_rows, rest, is_row, WIDTH_IN, UPCAST)
    dot_M = tl.zeros((BLOCK_M,), dtype=tl.float32)
    for first in range(0, WIDTH_OUT, BLOCK_N):
        column = first + tl.arange(0, BLOCK_N)
        is_column = (column < (WIDTH_OUT if TRANSPOSED else STRIDE))[None, :]
        columns = weight_ptr + column[None, :] * STRIDE_OUT
        weight_KN = _load_columns(columns, inner, is_column, WIDTH_IN, STRIDE_IN, UPCAST)
        products = tl.dot(x_MK, weight_KN, input_precision=PRECISION)
        if REST > 0:
            rest_KN = _load_columns(columns, rest, is_column, WIDTH_IN, STRIDE_IN, UPCAST)
            products = tl.dot(rest_MK, rest_KN, products, input_precision=PRECISION)
        if dot_ptr is not None:
            dot_M += dot_with_other(products, other_ptr, slot, is_row, column, WIDTH_OUT, PER_OTHER)
        if gate_ptr is not None:
            products *= tl.load(gate_ptr + slot, mask=is_row, other=0.0)[:, None]
        write(products, out_ptr, slot, is_row, column, WIDTH_OUT, PER_OUT)
    if dot_ptr is not None:
        tl.store(dot_ptr + slot, dot_M, mask=is_row)
