"""Launches of the forward pass: gathered matmuls, and sums of their parts.

The maths is in `../README.md`. Letters: R rows of x, S slots, Q rows of the output, G groups,
I width in, O width out.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from switchhead_kernels.expert_matmul import triton_configs as tiles
from switchhead_kernels.expert_matmul.triton_all_columns import all_columns_kernel
from switchhead_kernels.expert_matmul.triton_matmul import (
    MEASURED,
    matmul_kernel,
    measured_matmul_kernel,
)
from switchhead_kernels.expert_matmul.triton_sums import sum_parts

_LOAD_BYTES = 16
_NARROWEST_TILE = min(MEASURED, key=lambda config: config.kwargs["BLOCK_N"])


@dataclass(frozen=True)
class Routed:
    """The slots and options that all launches of a call share.

    Attributes:
        order_S: Shape [S], int64: slots sorted by group.
        offset_G1: Shape [G + 1], int32: ranges of the groups in `order_S`.
        gate_S: Shape [S], float32, by slot; None for 1.
        deterministic: Equal inputs give equal bits: no atomics, no autotuner.
        precision: "ieee" or "tf32", for float32 operands.
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


def as_factor(weight_GXY: Tensor, dtype: torch.dtype) -> Tensor:
    """Return weights in the dtype of the rows, laid out for wide loads.

    Rows start at multiples of 16 bytes, zero-padded between them.

    Args:
        weight_GXY: Shape [G, X, Y], any float dtype.
        dtype: Dtype of the rows they are multiplied with.

    Returns:
        Shape [G, X, Y], rows contiguous.
    """
    G, X, Y = weight_GXY.shape
    n_more = -Y % (_LOAD_BYTES // dtype.itemsize)
    if not n_more:
        return weight_GXY.to(dtype).contiguous()
    rows = torch.zeros((G, X, Y + n_more), dtype=dtype, device=weight_GXY.device)
    rows[..., :Y] = weight_GXY
    return rows[..., :Y]


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
        weight_GIO: Shape [G, I, O]: what `as_factor` returned, or its transpose.
        routed: Slots and options.
        per: Slots that read a row of x, and slots that are added to a row of the output.
        other: Shape [S / per[1], O], contiguous, or None.
        config: Tile; by default chosen by the rule or the autotuner.

    Returns:
        Shape [S / per[1], O], dtype of `x_RI`; and shape [S], float32, empty without `other`.
    """
    per_x, per_out = per
    width_out = weight_GIO.shape[2]
    problem = _problem_of(x_RI, weight_GIO, routed, has_dots=other is not None)
    config = config or _config_of(problem, routed)
    adds = per_out > 1 and not routed.deterministic
    n_written = routed.n_slots // per_out if adds else routed.n_slots
    buffer_type = torch.float32 if adds else x_RI.dtype
    written = _new(n_written, width_out, like=x_RI, dtype=buffer_type, zero=adds)
    dots = None
    if other is not None:
        n_blocks = problem.n_blocks(config or _NARROWEST_TILE)
        dots = _new(n_blocks, routed.n_slots, like=x_RI, dtype=torch.float32, zero=config is None)
    arguments = {
        **{"x_ptr": x_RI, "weight_ptr": weight_GIO, "order_ptr": routed.order_S},
        **{"offset_ptr": routed.offset_G1, "gate_ptr": routed.gate_S, "out_ptr": written},
        **{"other_ptr": other, "dot_ptr": dots, "PER_OTHER": per_out, "PER_X": per_x},
        "PER_OUT": per_out if adds else 1,
    }
    _launch_matmuls(config, arguments, routed, problem)
    dots_S = _new(0, like=x_RI, dtype=torch.float32) if dots is None else dots.sum(dim=0)
    if per_out == 1 or adds:
        return written.to(x_RI.dtype), dots_S
    out_QO = _new(routed.n_slots // per_out, width_out, like=x_RI, dtype=x_RI.dtype)
    sum_parts(written, out_QO, per_out, per_out * width_out, width_out)
    return out_QO, dots_S


def _config_of(problem: tiles.Problem, routed: Routed) -> triton.Config | None:
    """Return the rule's tile, or None for the autotuner to measure."""
    if not routed.deterministic and not tiles.is_interpreted():
        return None
    return tiles.matmul_tiles(problem)[0]


def fitting_tiles(
    x_RI: Tensor, weight_GIO: Tensor, routed: Routed, *, has_dots: bool = False
) -> tuple[triton.Config, ...]:
    """Return the tiles that fit a matmul of rows, the rule's choice first.

    Args:
        x_RI: As given to `multiply_rows`.
        weight_GIO: As given to `multiply_rows`.
        routed: As given to `multiply_rows`.
        has_dots: True if `multiply_rows` is given `other`.
    """
    return tiles.matmul_tiles(_problem_of(x_RI, weight_GIO, routed, has_dots=has_dots))


def _problem_of(
    x_RI: Tensor, weight_GIO: Tensor, routed: Routed, *, has_dots: bool
) -> tiles.Problem:
    return tiles.Problem(
        tiles.bucket_of(routed.n_slots, routed.n_groups),
        weight_GIO.shape[2],
        routed.n_groups,
        x_RI.element_size(),
        tiles.shared_memory_of(x_RI.device),
        has_dots,
        depth=x_RI.shape[1],
    )


def _launch_matmuls(
    config: triton.Config | None,
    arguments: dict[str, Any],
    routed: Routed,
    problem: tiles.Problem,
) -> None:
    x_RI, weight_GIO = arguments["x_ptr"], arguments["weight_ptr"]
    n_groups, width_in, width_out = weight_GIO.shape
    is_plain = weight_GIO.stride(2) == 1

    def grid(blocks: dict[str, Any]) -> tuple[int]:
        # The last tile of each group may be partly filled, hence one more per group.
        n_tiles = triton.cdiv(routed.n_slots, blocks["BLOCK_M"]) + n_groups
        return (n_tiles * problem.n_blocks(config or triton.Config(blocks)),)

    kernel, tail = matmul_kernel, {"HAS_TAIL": problem.has_tail}
    if config is None:
        kernel = measured_matmul_kernel
    elif isinstance(config, tiles.LoopedConfig):
        kernel, tail = all_columns_kernel, {}
    kernel[grid](
        **arguments,
        n_slots=routed.n_slots,
        bucket=tiles.bucket_of(routed.n_slots, n_groups),
        N_GROUPS=n_groups,
        WIDTH_IN=width_in,
        WIDTH_OUT=width_out,
        STRIDE=weight_GIO.stride(1 if is_plain else 2),
        TRANSPOSED=not is_plain,
        PRECISION=routed.precision if x_RI.dtype == torch.float32 else "ieee",
        UPCAST=tiles.is_interpreted() and x_RI.dtype == torch.bfloat16,
        **tail,
        **({} if config is None else config.all_kwargs()),
    )


def _new(*shape: int, like: Tensor, dtype: torch.dtype, zero: bool = False) -> Tensor:
    make = torch.zeros if zero else torch.empty
    return make(shape, dtype=dtype, device=like.device)
