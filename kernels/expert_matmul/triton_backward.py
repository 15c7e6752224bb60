"""Triton kernels of the backward pass; the gradient of x is the forward kernel, transposed.

The maths is in `../README.md`. Letters: R rows of x, S slots, Q rows of the output, G groups,
X width in, Y width out.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from switchhead_kernels.expert_matmul import triton_configs as tiles
from switchhead_kernels.expert_matmul.slots import Slots
from switchhead_kernels.expert_matmul.triton_forward import Routed, multiply_rows
from switchhead_kernels.expert_matmul.triton_sums import sum_parts


@triton.jit
def weight_gradient_kernel(
    wide_ptr,  # [rows, WIDE]: x or the gradient, whichever is wider
    narrow_ptr,  # [rows, NARROW]: the other
    order_ptr,  # [S]
    offset_ptr,  # [G + 1]
    gate_ptr,  # [S] or None
    out_ptr,  # [N_SPLITS, G, X, Y]
    N_GROUPS: tl.constexpr,
    WIDE: tl.constexpr,
    NARROW: tl.constexpr,
    PER_WIDE: tl.constexpr,
    PER_NARROW: tl.constexpr,
    STRIDE_WIDE: tl.constexpr,  # of the output
    STRIDE_NARROW: tl.constexpr,
    N_SPLITS: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,  # the interpreter's tl.dot misreads bfloat16
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Write sums of outer products of wide with gated narrow rows over a share of a group."""
    BLOCKS_M: tl.constexpr = (WIDE + BLOCK_M - 1) // BLOCK_M
    BLOCKS_N: tl.constexpr = (NARROW + BLOCK_N - 1) // BLOCK_N
    block = tl.program_id(0) % (BLOCKS_M * BLOCKS_N)
    part = tl.program_id(0) // (BLOCKS_M * BLOCKS_N)
    group, split = part % N_GROUPS, part // N_GROUPS
    row = block // BLOCKS_N * BLOCK_M + tl.arange(0, BLOCK_M)
    column = block % BLOCKS_N * BLOCK_N + tl.arange(0, BLOCK_N)
    is_row, is_column = row < WIDE, column < NARROW
    first = tl.load(offset_ptr + group) + split * BLOCK_K
    end = tl.load(offset_ptr + group + 1)
    sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(first, end, N_SPLITS * BLOCK_K):
        place = start + tl.arange(0, BLOCK_K)
        is_place = place < end
        slot = tl.load(order_ptr + place, mask=is_place, other=0).to(tl.int32)
        wide_MK = tl.load(
            wide_ptr + (slot // PER_WIDE).to(tl.int64)[None, :] * WIDE + row[:, None],
            mask=is_row[:, None] & is_place[None, :],
            other=0.0,
        )
        narrow_KN = tl.load(
            narrow_ptr + (slot // PER_NARROW).to(tl.int64)[:, None] * NARROW + column[None, :],
            mask=is_place[:, None] & is_column[None, :],
            other=0.0,
        )
        if UPCAST:
            wide_MK, narrow_KN = wide_MK.to(tl.float32), narrow_KN.to(tl.float32)
        if gate_ptr is not None:
            gate_K = tl.load(gate_ptr + slot, mask=is_place, other=0.0)
            narrow_KN = (narrow_KN.to(tl.float32) * gate_K[:, None]).to(narrow_KN.dtype)
        sums = tl.dot(wide_MK, narrow_KN, sums, input_precision=PRECISION)
    cell = row[:, None] * STRIDE_WIDE + column[None, :] * STRIDE_NARROW
    out = out_ptr + part.to(tl.int64) * (WIDE * NARROW) + cell
    tl.store(out, sums.to(out_ptr.dtype.element_ty), mask=is_row[:, None] & is_column[None, :])


def input_gradient(
    grad_QY: Tensor,
    x_RX: Tensor,
    weight_GXY: Tensor,
    routed: Routed,
    slots: Slots,
    config: triton.Config | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and gates (float32 [S], empty without gates).

    The dot of an ungated product with its row of x is the gate's gradient.

    Args:
        grad_QY: Shape [Q, Y], contiguous, dtype of `x_RX`.
        x_RX: Shape [R, X], contiguous.
        weight_GXY: Shape [G, X, Y]: what `as_factor` returned.
        routed: Slots and options.
        slots: Map of slots to rows.
        config: Tile; by default chosen by the rule or the autotuner.
    """
    other = None if routed.gate_S is None else x_RX
    per = (slots.per_output, slots.per_input)
    return multiply_rows(grad_QY, weight_GXY.transpose(1, 2), routed, per, other, config)


def fitting_tiles(x_RX: Tensor, like_GXY: Tensor) -> tuple[triton.Config, ...]:
    """Return the tiles that fit the weight gradient, the rule's choice first.

    Args:
        x_RX: As given to `weight_gradient`.
        like_GXY: As given to `weight_gradient`.
    """
    return tiles.weight_gradient_tiles(_problem_of(x_RX, like_GXY))


def _problem_of(x_RX: Tensor, like_GXY: Tensor) -> tiles.Problem:
    G, X, Y = like_GXY.shape
    memory = tiles.shared_memory_of(x_RX.device)
    itemsize = x_RX.element_size()
    return tiles.Problem(max(X, Y), min(X, Y), G, itemsize, memory, is_weight_gradient=True)


def weight_gradient(
    grad_QY: Tensor,
    x_RX: Tensor,
    like_GXY: Tensor,
    routed: Routed,
    slots: Slots,
    config: triton.Config | None = None,
) -> Tensor:
    """Return the gradient of the weights, in their dtype; always without atomics.

    Args:
        grad_QY: Shape [Q, Y], contiguous, dtype of `x_RX`.
        x_RX: Shape [R, X], contiguous.
        like_GXY: Shape [G, X, Y], any float dtype: the weights.
        routed: Slots and options.
        slots: Map of slots to rows.
        config: Tile; by default the rule's choice.
    """
    G, X, Y = like_GXY.shape
    device, problem = x_RX.device, _problem_of(x_RX, like_GXY)
    config = config or tiles.weight_gradient_tiles(problem)[0]
    n_splits = tiles.n_splits(config, problem, tiles.bucket_of(routed.n_slots, G))
    out_GXY = torch.empty((G, X, Y), dtype=like_GXY.dtype, device=device)
    written = out_GXY
    if n_splits > 1:
        written = torch.empty((n_splits, G, X, Y), dtype=torch.float32, device=device)
    # Rows, slots that read one, and stride in the output. A tile's height would be wasted on the
    # narrower operand, which therefore gets its width.
    sides = [(grad_QY, slots.per_output, 1), (x_RX, slots.per_input, Y)]
    narrow, wide = sorted(sides, key=lambda side: side[0].shape[1])
    weight_gradient_kernel[(n_splits * tiles.n_programs(config, problem),)](
        wide[0],
        narrow[0],
        routed.order_S,
        routed.offset_G1,
        routed.gate_S,
        written,
        N_GROUPS=G,
        WIDE=problem.height,
        NARROW=problem.width,
        PER_WIDE=wide[1],
        PER_NARROW=narrow[1],
        STRIDE_WIDE=wide[2],
        STRIDE_NARROW=narrow[2],
        N_SPLITS=n_splits,
        PRECISION=routed.precision if x_RX.dtype == torch.float32 else "ieee",
        UPCAST=tiles.is_interpreted() and x_RX.dtype == torch.bfloat16,
        **config.all_kwargs(),
    )
    if n_splits > 1:
        sum_parts(written, out_GXY.view(G * X, Y), n_splits, Y, G * X * Y)
    return out_GXY
