"""Triton kernels of the forward pass: gathered matmuls.

The maths is in `../README.md`. Letters: R rows of x, S slots, G groups, I width in, O width out.
"""

from typing import Any

import triton
import triton.language as tl

from switchhead_kernels.expert_matmul import triton_configs as tiles

MEASURED = [*tiles.MATMUL_CONFIGS, *tiles.FLOAT32_MATMUL_CONFIGS]
"""Tiles that the autotuner chooses from, pruned to those that fit."""


@triton.jit
def find_slots(tile, offset_ptr, order_ptr, N_GROUPS: tl.constexpr, BLOCK_M: tl.constexpr):
    """Return the group of a tile, its slots, and the mask of those it has.

    First come the first tiles of all groups, then their second tiles, and so on: slots of a group
    are in the order of their tokens, so programs that run together read the rows of the same
    tokens, which then come from the cache.

    The grid has one surplus tile per group whose last tile is full; surplus tiles get a group of
    N_GROUPS or more.
    """
    groups = tl.arange(0, triton.next_power_of_2(N_GROUPS))
    is_group = groups < N_GROUPS
    start = tl.load(offset_ptr + groups, mask=is_group, other=0)
    end = tl.load(offset_ptr + groups + 1, mask=is_group, other=0)
    n_tiles = (end - start + BLOCK_M - 1) // BLOCK_M
    # In rounds: the tile's is the last that starts at or before it. A round has a tile of each
    # group that is left, and groups only drop out, so steps of that many tiles never pass it.
    n_left = tl.sum((n_tiles > 0).to(tl.int32), 0)
    round_start = 0
    nth = 0
    n_rounds = tile // tl.maximum(n_left, 1)
    while (n_rounds > 0) & (n_left > 0):
        nth += n_rounds
        round_start = tl.sum(tl.minimum(n_tiles, nth), 0)
        n_left = tl.sum((n_tiles > nth).to(tl.int32), 0)
        n_rounds = (tile - round_start) // tl.maximum(n_left, 1)
    is_left = n_tiles > nth
    is_mine = is_left & (tl.cumsum(is_left.to(tl.int32), 0) == tile - round_start + 1)
    group = tl.min(tl.where(is_mine, groups, N_GROUPS), 0)
    place = tl.sum(tl.where(is_mine, start, 0), 0) + nth * BLOCK_M + tl.arange(0, BLOCK_M)
    is_slot = place < tl.sum(tl.where(is_mine, end, 0), 0)
    return group, tl.load(order_ptr + place, mask=is_slot, other=0).to(tl.int32), is_slot


@triton.jit
def _multiply(
    x_ptr,
    weight_ptr,
    row,
    is_row,
    column,
    tail_column,
    WIDTH_IN: tl.constexpr,
    N_COLUMNS: tl.constexpr,
    STRIDE: tl.constexpr,
    TRANSPOSED: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
    HAS_TAIL: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Return x[row] @ weight[:, column] and the same for the tail's columns, in float32."""
    STRIDE_IN: tl.constexpr = 1 if TRANSPOSED else STRIDE
    STRIDE_OUT: tl.constexpr = STRIDE if TRANSPOSED else 1
    # Whole steps need no mask along the input; one shorter step covers the remainder.
    N_WHOLE: tl.constexpr = WIDTH_IN // BLOCK_K * BLOCK_K
    REST: tl.constexpr = WIDTH_IN - N_WHOLE
    sums = tl.zeros((row.shape[0], column.shape[0]), dtype=tl.float32)
    tail_sums = tl.zeros((row.shape[0], tail_column.shape[0]), dtype=tl.float32)
    x_rows = x_ptr + row.to(tl.int64)[:, None] * WIDTH_IN
    weight_columns = weight_ptr + column[None, :] * STRIDE_OUT
    tail_columns = weight_ptr + tail_column[None, :] * STRIDE_OUT
    is_column, is_tail_column = (column < N_COLUMNS)[None, :], (tail_column < N_COLUMNS)[None, :]
    for start in range(0, N_WHOLE, BLOCK_K):
        inner = start + tl.arange(0, BLOCK_K)
        x_MK = tl.load(x_rows + inner[None, :], mask=is_row[:, None], other=0.0)
        at = inner[:, None] * STRIDE_IN
        weight_KN = tl.load(weight_columns + at, mask=is_column, other=0.0)
        if UPCAST:
            x_MK, weight_KN = x_MK.to(tl.float32), weight_KN.to(tl.float32)
        sums = tl.dot(x_MK, weight_KN, sums, input_precision=PRECISION)
        if HAS_TAIL:
            tail_KN = tl.load(tail_columns + at, mask=is_tail_column, other=0.0)
            if UPCAST:
                tail_KN = tail_KN.to(tl.float32)
            tail_sums = tl.dot(x_MK, tail_KN, tail_sums, input_precision=PRECISION)
    if REST > 0:
        SHORT: tl.constexpr = tiles.tile_width(REST)
        inner = N_WHOLE + tl.arange(0, SHORT)
        is_inner = inner < WIDTH_IN
        x_MK = tl.load(x_rows + inner[None, :], mask=is_row[:, None] & is_inner[None, :], other=0.0)
        at = inner[:, None] * STRIDE_IN
        weight_KN = tl.load(weight_columns + at, mask=is_inner[:, None] & is_column, other=0.0)
        if UPCAST:
            x_MK, weight_KN = x_MK.to(tl.float32), weight_KN.to(tl.float32)
        sums = tl.dot(x_MK, weight_KN, sums, input_precision=PRECISION)
        if HAS_TAIL:
            tail_KN = tl.load(tail_columns + at, mask=is_inner[:, None] & is_tail_column, other=0.0)
            if UPCAST:
                tail_KN = tail_KN.to(tl.float32)
            tail_sums = tl.dot(x_MK, tail_KN, tail_sums, input_precision=PRECISION)
    return sums, tail_sums


@triton.jit
def dot_with_other(
    products, other_ptr, slot, is_row, column, WIDTH: tl.constexpr, PER_OTHER: tl.constexpr
):
    """Return the dot of each row of products with its row of `other`, over some columns."""
    is_cell = is_row[:, None] & (column < WIDTH)[None, :]
    cell = (slot // PER_OTHER).to(tl.int64)[:, None] * WIDTH + column[None, :]
    other = tl.load(other_ptr + cell, mask=is_cell, other=0.0).to(tl.float32)
    return tl.sum(products * other, axis=1)


@triton.jit
def _columns(block, BLOCK_N: tl.constexpr, TAIL: tl.constexpr):
    return block * BLOCK_N + tl.arange(0, BLOCK_N), BLOCK_N + tl.arange(0, TAIL)


@triton.jit
def _gate(products, tail, gate_ptr, slot, is_row):
    if gate_ptr is not None:
        gate = tl.load(gate_ptr + slot, mask=is_row, other=0.0)[:, None]
        products *= gate
        tail *= gate
    return products, tail


@triton.jit
def write(products, out_ptr, slot, is_row, column, WIDTH: tl.constexpr, PER_OUT: tl.constexpr):
    """Write rows of products by slot, or add them to the row of PER_OUT slots."""
    is_cell = is_row[:, None] & (column < WIDTH)[None, :]
    cell = (slot // PER_OUT).to(tl.int64)[:, None] * WIDTH + column[None, :]
    if PER_OUT == 1:
        tl.store(out_ptr + cell, products.to(out_ptr.dtype.element_ty), mask=is_cell)
    else:
        tl.atomic_add(out_ptr + cell, products, mask=is_cell, sem="relaxed")


@triton.jit(do_not_specialize=["n_slots", "bucket"])
def matmul_kernel(
    x_ptr,  # [R, I]
    weight_ptr,  # [G, I, STRIDE], or [G, O, STRIDE] if TRANSPOSED
    order_ptr,  # [S]
    offset_ptr,  # [G + 1]
    gate_ptr,  # [S] or None
    out_ptr,  # [S / PER_OUT, O]
    other_ptr,  # [S / PER_OTHER, O] or None
    dot_ptr,  # [blocks of O, S] or None
    n_slots,
    bucket,  # noqa: ARG001 (a key of the autotuner)
    N_GROUPS: tl.constexpr,
    WIDTH_IN: tl.constexpr,
    WIDTH_OUT: tl.constexpr,
    STRIDE: tl.constexpr,  # of the weights' rows, zero-padded
    TRANSPOSED: tl.constexpr,
    PER_X: tl.constexpr,
    PER_OUT: tl.constexpr,  # above 1, added atomically
    PER_OTHER: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,  # the interpreter's tl.dot misreads bfloat16
    HAS_TAIL: tl.constexpr,  # a narrow second tile covers a width just above BLOCK_N
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Write gate[s] * x[s // PER_X] @ weight[group[s]], and its dot with other before the gate."""
    # Programs that read the same rows of x are neighbours, so that they hit the cache.
    TAIL: tl.constexpr = tiles.tail_of(WIDTH_OUT, BLOCK_N) if HAS_TAIL else 0
    BLOCKS: tl.constexpr = 1 if TAIL > 0 else (WIDTH_OUT + BLOCK_N - 1) // BLOCK_N
    block, tile = tl.program_id(0) % BLOCKS, tl.program_id(0) // BLOCKS
    group, slot, is_row = find_slots(tile, offset_ptr, order_ptr, N_GROUPS, BLOCK_M)
    if group >= N_GROUPS:
        return
    column, tail_column = _columns(block, BLOCK_N, tiles.tile_width(TAIL))
    products, tail = _multiply(
        x_ptr,
        weight_ptr + group.to(tl.int64) * ((WIDTH_OUT if TRANSPOSED else WIDTH_IN) * STRIDE),
        slot // PER_X,
        is_row,
        column,
        tail_column,
        WIDTH_IN,
        WIDTH_OUT if TRANSPOSED else STRIDE,
        STRIDE,
        TRANSPOSED,
        PRECISION,
        UPCAST,
        TAIL > 0,
        BLOCK_K,
    )
    if dot_ptr is not None:
        dot = dot_with_other(products, other_ptr, slot, is_row, column, WIDTH_OUT, PER_OTHER)
        if TAIL > 0:
            dot += dot_with_other(tail, other_ptr, slot, is_row, tail_column, WIDTH_OUT, PER_OTHER)
        tl.store(dot_ptr + block.to(tl.int64) * n_slots + slot, dot, mask=is_row)
    products, tail = _gate(products, tail, gate_ptr, slot, is_row)
    write(products, out_ptr, slot, is_row, column, WIDTH_OUT, PER_OUT)
    if TAIL > 0:
        write(tail, out_ptr, slot, is_row, tail_column, WIDTH_OUT, PER_OUT)


def _clear(arguments: dict[str, Any], reset_only: bool = False) -> None:  # noqa: ARG001
    """Zero outputs that a measurement accumulated, or that other tile sizes leave unwritten."""
    if arguments["PER_OUT"] > 1:
        arguments["out_ptr"].zero_()
    if arguments["dot_ptr"] is not None:
        arguments["dot_ptr"].zero_()


measured_matmul_kernel = triton.autotune(
    configs=MEASURED,
    key=["WIDTH_IN", "WIDTH_OUT", "TRANSPOSED", "PER_OUT", "PRECISION", "bucket"],
    prune_configs_by={"early_config_prune": tiles.prune_matmuls},
    pre_hook=_clear,
)(matmul_kernel)
