"""Triton kernels of the forward pass: gathered products, and sums of their parts.

The maths is in `../README.md`. Letters: R rows of x, S slots, Q rows of the output, G groups,
I width in, O width out.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from switchhead_kernels.expert_matmul import triton_configs as tiles

_SUM_ELEMENTS = 1024  # of one program of `sum_kernel`
_MEASURED = [*tiles.PRODUCT_CONFIGS, *tiles.FLOAT32_PRODUCT_CONFIGS]
_NARROWEST_TILE = min(config.kwargs["BLOCK_N"] for config in _MEASURED)


@dataclass(frozen=True)
class Routed:
    """What all launches of a call share.

    Attributes:
        order_S: Shape [S], int64: slots sorted by group.
        offset_G1: Shape [G + 1], int32: ranges of the groups in it.
        gate_S: Shape [S], float32, by slot; None for 1.
        deterministic: Equal inputs give equal bits: no atomics, and no tiles by stopwatch.
        precision: "ieee" or "tf32", of float32 factors.
    """

    order_S: Tensor
    offset_G1: Tensor
    gate_S: Tensor | None
    deterministic: bool
    precision: str

    @property
    def n_slots(self) -> int:
        """Number of slots, S."""
        return self.order_S.shape[0]

    @property
    def n_groups(self) -> int:
        """Number of groups, G."""
        return self.offset_G1.shape[0] - 1


@triton.jit
def _find_slots(tile, offset_ptr, order_ptr, N_GROUPS: tl.constexpr, BLOCK_M: tl.constexpr):
    """Return the group of a tile, its slots, and which of them it has.

    The grid has a tile too many for each group whose last tile is full; those get N_GROUPS or
    more as their group.
    """
    groups = tl.arange(0, triton.next_power_of_2(N_GROUPS))
    is_group = groups < N_GROUPS
    start = tl.load(offset_ptr + groups, mask=is_group, other=0)
    end = tl.load(offset_ptr + groups + 1, mask=is_group, other=0)
    n_tiles = (end - start + BLOCK_M - 1) // BLOCK_M
    stop = tl.cumsum(n_tiles, 0)
    group = tl.sum((stop <= tile).to(tl.int32), 0)
    is_mine = groups == group
    nth = tile - tl.sum(tl.where(is_mine, stop - n_tiles, 0), 0)
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
    WIDTH_IN: tl.constexpr,
    WIDTH_OUT: tl.constexpr,
    TRANSPOSED: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Return x[row] @ weight[:, column] in float32."""
    STRIDE_IN: tl.constexpr = 1 if TRANSPOSED else WIDTH_OUT
    STRIDE_OUT: tl.constexpr = WIDTH_IN if TRANSPOSED else 1
    sums = tl.zeros((row.shape[0], column.shape[0]), dtype=tl.float32)
    x_rows = x_ptr + row.to(tl.int64)[:, None] * WIDTH_IN
    weight_columns = weight_ptr + column[None, :] * STRIDE_OUT
    is_column = column < WIDTH_OUT
    for start in range(0, WIDTH_IN, BLOCK_K):
        inner = start + tl.arange(0, BLOCK_K)
        is_inner = inner < WIDTH_IN
        x_MK = tl.load(x_rows + inner[None, :], mask=is_row[:, None] & is_inner[None, :], other=0.0)
        weight_KN = tl.load(
            weight_columns + inner[:, None] * STRIDE_IN,
            mask=is_inner[:, None] & is_column[None, :],
            other=0.0,
        )
        if UPCAST:
            x_MK, weight_KN = x_MK.to(tl.float32), weight_KN.to(tl.float32)
        sums = tl.dot(x_MK, weight_KN, sums, input_precision=PRECISION)
    return sums


@triton.jit(do_not_specialize=["n_slots", "bucket"])
def product_kernel(
    x_ptr,  # [R, I]
    weight_ptr,  # [G, I, O], or [G, O, I] if TRANSPOSED
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
    TRANSPOSED: tl.constexpr,
    PER_X: tl.constexpr,
    PER_OUT: tl.constexpr,  # more than 1 are added up atomically
    PER_OTHER: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,  # the interpreter's tl.dot misreads bfloat16
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Write gate[s] * x[s // PER_X] @ weight[group[s]], and its dot with other before the gate."""
    # Programs that share rows of x are neighbours, so that those are still in the cache.
    BLOCKS: tl.constexpr = (WIDTH_OUT + BLOCK_N - 1) // BLOCK_N
    block, tile = tl.program_id(0) % BLOCKS, tl.program_id(0) // BLOCKS
    group, slot, is_row = _find_slots(tile, offset_ptr, order_ptr, N_GROUPS, BLOCK_M)
    if group >= N_GROUPS:
        return
    column = block * BLOCK_N + tl.arange(0, BLOCK_N)
    products = _multiply(
        x_ptr,
        weight_ptr + group.to(tl.int64) * (WIDTH_IN * WIDTH_OUT),
        slot // PER_X,
        is_row,
        column,
        WIDTH_IN,
        WIDTH_OUT,
        TRANSPOSED,
        PRECISION,
        UPCAST,
        BLOCK_K,
    )
    is_cell = is_row[:, None] & (column < WIDTH_OUT)[None, :]
    if dot_ptr is not None:
        cell = (slot // PER_OTHER).to(tl.int64)[:, None] * WIDTH_OUT + column[None, :]
        other = tl.load(other_ptr + cell, mask=is_cell, other=0.0).to(tl.float32)
        dot = tl.sum(products * other, axis=1)
        tl.store(dot_ptr + block.to(tl.int64) * n_slots + slot, dot, mask=is_row)
    if gate_ptr is not None:
        products *= tl.load(gate_ptr + slot, mask=is_row, other=0.0)[:, None]
    cell = (slot // PER_OUT).to(tl.int64)[:, None] * WIDTH_OUT + column[None, :]
    if PER_OUT == 1:
        tl.store(out_ptr + cell, products.to(out_ptr.dtype.element_ty), mask=is_cell)
    else:
        tl.atomic_add(out_ptr + cell, products, mask=is_cell, sem="relaxed")


def _clear(arguments: dict[str, Any], reset_only: bool = False) -> None:  # noqa: ARG001
    """Undo what a measurement added up, or left where another tile size does not write."""
    if arguments["PER_OUT"] > 1:
        arguments["out_ptr"].zero_()
    if arguments["dot_ptr"] is not None:
        arguments["dot_ptr"].zero_()


measured_product_kernel = triton.autotune(
    configs=_MEASURED,
    key=["WIDTH_IN", "WIDTH_OUT", "TRANSPOSED", "PER_OUT", "PRECISION", "bucket"],
    prune_configs_by={"early_config_prune": tiles.prune_products},
    pre_hook=_clear,
)(product_kernel)


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
        sums += tl.load(cells + offset, mask=is_cell, other=0.0)
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
        stride_row: Elements from a row's first part to that of the next row.
        stride_part: Elements from a part to the next one of its row.
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


def multiply_rows(
    x_RI: Tensor,
    weight_GIO: Tensor,
    routed: Routed,
    per: tuple[int, int],
    other: Tensor | None = None,
    config: triton.Config | None = None,
) -> tuple[Tensor, Tensor]:
    """Return sums of gated products, and dots of the products with rows of `other`.

    Args:
        x_RI: Shape [R, I], contiguous.
        weight_GIO: Shape [G, I, O], contiguous in this or the order [G, O, I], dtype of `x_RI`.
        routed: Slots and options.
        per: Slots that read a row of x, and slots that are added to a row of the output.
        other: Shape [S / per[1], O], contiguous, or None.
        config: Tile; chosen by the rule or the autotuner if left out.

    Returns:
        Shape [S / per[1], O], dtype of `x_RI`; and shape [S], float32, empty without `other`.
    """
    per_x, per_out = per
    width_out = weight_GIO.shape[2]
    config = config or _config_of(x_RI, weight_GIO, routed, has_dots=other is not None)
    adds = per_out > 1 and not routed.deterministic
    n_written = routed.n_slots // per_out if adds else routed.n_slots
    buffer_type = x_RI.dtype if per_out == 1 else torch.float32
    written = _new(n_written, width_out, like=x_RI, dtype=buffer_type, zero=adds)
    dots = None
    if other is not None:
        narrowest = config.kwargs["BLOCK_N"] if config else _NARROWEST_TILE
        n_blocks = triton.cdiv(width_out, narrowest)
        dots = _new(n_blocks, routed.n_slots, like=x_RI, dtype=torch.float32, zero=config is None)
    arguments = {
        **{"x_ptr": x_RI, "weight_ptr": weight_GIO, "order_ptr": routed.order_S},
        **{"offset_ptr": routed.offset_G1, "gate_ptr": routed.gate_S, "out_ptr": written},
        **{"other_ptr": other, "dot_ptr": dots, "PER_OTHER": per_out, "PER_X": per_x},
        "PER_OUT": per_out if adds else 1,
    }
    _launch_products(config, arguments, routed)
    dots_S = _new(0, like=x_RI, dtype=torch.float32) if dots is None else dots.sum(dim=0)
    if per_out == 1 or adds:
        return written.to(x_RI.dtype), dots_S
    out_QO = _new(routed.n_slots // per_out, width_out, like=x_RI, dtype=x_RI.dtype)
    sum_parts(written, out_QO, per_out, per_out * width_out, width_out)
    return out_QO, dots_S


def _config_of(
    x_RI: Tensor, weight_GIO: Tensor, routed: Routed, *, has_dots: bool
) -> triton.Config | None:
    """Return the tile to take, or None to measure."""
    if not routed.deterministic and not tiles.is_interpreted():
        return None
    return fitting_tiles(x_RI, weight_GIO, routed, has_dots=has_dots)[0]


def fitting_tiles(
    x_RI: Tensor, weight_GIO: Tensor, routed: Routed, *, has_dots: bool = False
) -> tuple[triton.Config, ...]:
    """Return the tiles that fit a product of rows, the rule's choice first.

    Args:
        x_RI: As given to `multiply_rows`.
        weight_GIO: As given to `multiply_rows`.
        routed: As given to `multiply_rows`.
        has_dots: True if `multiply_rows` is given `other`.
    """
    problem = tiles.Problem(
        tiles.bucket_of(routed.n_slots, routed.n_groups),
        weight_GIO.shape[2],
        routed.n_groups,
        x_RI.element_size(),
        tiles.shared_memory_of(x_RI.device),
        has_dots,
    )
    return tiles.product_tiles(problem)


def _launch_products(
    config: triton.Config | None, arguments: dict[str, Any], routed: Routed
) -> None:
    x_RI, weight_GIO = arguments["x_ptr"], arguments["weight_ptr"]
    n_groups, width_in, width_out = weight_GIO.shape

    def grid(blocks: dict[str, Any]) -> tuple[int]:
        # Each group fills its last tile partly, hence as many more as there are groups.
        n_tiles = triton.cdiv(routed.n_slots, blocks["BLOCK_M"]) + n_groups
        return (n_tiles * triton.cdiv(width_out, blocks["BLOCK_N"]),)

    kernel = measured_product_kernel if config is None else product_kernel
    kernel[grid](
        **arguments,
        n_slots=routed.n_slots,
        bucket=tiles.bucket_of(routed.n_slots, n_groups),
        N_GROUPS=n_groups,
        WIDTH_IN=width_in,
        WIDTH_OUT=width_out,
        TRANSPOSED=not weight_GIO.is_contiguous(),
        PRECISION=routed.precision if x_RI.dtype == torch.float32 else "ieee",
        UPCAST=tiles.is_interpreted() and x_RI.dtype == torch.bfloat16,
        **({} if config is None else config.all_kwargs()),
    )


def _new(*shape: int, like: Tensor, dtype: torch.dtype, zero: bool = False) -> Tensor:
    make = torch.zeros if zero else torch.empty
    return make(shape, dtype=dtype, device=like.device)
