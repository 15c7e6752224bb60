"""The fused kernels for GPUs (`triton_forward.py`, `triton_backward.py`), or Triton's interpreter.

No launch syncs with the device: programs find their tiles there, and the host launches an upper
bound of them.

Letters: R rows of x, S slots, Q rows of the output, G groups, X width in, Y width out.
"""

import torch
from torch import Tensor

from switchhead_kernels.expert_matmul import triton_backward, triton_forward
from switchhead_kernels.expert_matmul.slots import Slots
from switchhead_kernels.expert_matmul.triton_configs import is_interpreted
from switchhead_kernels.expert_matmul.triton_forward import Routed

_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def forward(
    x_RX: Tensor,
    weight_GXY: Tensor,
    order_S: Tensor,
    offset_G1: Tensor,
    gate_S: Tensor | None,
    slots: Slots,
    *,
    deterministic: bool,
    precision: str,
) -> Tensor:
    """Return the summed products, shape [S / per_output, Y], in the dtype of `x_RX`.

    Args:
        x_RX: Shape [R, X], float32, float16 or bfloat16.
        weight_GXY: Shape [G, X, Y], any float dtype; matmuls use that of `x_RX`.
        order_S: Shape [S], int64: slots sorted by group.
        offset_G1: Shape [G + 1], int32: ranges of the groups in `order_S`.
        gate_S: Shape [S], any float dtype: factor of each product; None for 1.
        slots: Map of slots to rows.
        deterministic: Equal inputs give equal bits.
        precision: "ieee" or "tf32", for float32 operands.

    Raises:
        ValueError: If Triton cannot run on these tensors.
    """
    _require_supported(x_RX)
    routed = _routed(order_S, offset_G1, gate_S, deterministic, precision)
    per = (slots.per_input, slots.per_output)
    with torch.cuda.device_of(x_RX):
        weight = triton_forward.as_factor(weight_GXY, x_RX.dtype)
        return triton_forward.multiply_rows(x_RX.contiguous(), weight, routed, per)[0]


def backward(
    grad_QY: Tensor,
    x_RX: Tensor,
    weight_GXY: Tensor,
    order_S: Tensor,
    offset_G1: Tensor,
    gate_S: Tensor | None,
    slots: Slots,
    *,
    deterministic: bool,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and gate (float32, empty without gates).

    Args:
        grad_QY: Shape [S / per_output, Y]: gradient of what `forward` returned.
        x_RX: As given to `forward`.
        weight_GXY: As given to `forward`; its gradient has the same dtype.
        order_S: As given to `forward`.
        offset_G1: As given to `forward`.
        gate_S: As given to `forward`.
        slots: As given to `forward`.
        deterministic: As given to `forward`; the weights' gradient always is.
        precision: As given to `forward`.

    Raises:
        ValueError: If Triton cannot run on these tensors.
    """
    _require_supported(x_RX)
    routed = _routed(order_S, offset_G1, gate_S, deterministic, precision)
    x, grad = x_RX.contiguous(), grad_QY.to(x_RX.dtype).contiguous()
    with torch.cuda.device_of(x_RX):
        weight = triton_forward.as_factor(weight_GXY, x.dtype)
        grad_x, grad_gate = triton_backward.input_gradient(grad, x, weight, routed, slots)
        grad_weight = triton_backward.weight_gradient(grad, x, weight_GXY, routed, slots)
    return grad_x, grad_weight, grad_gate


def _routed(
    order_S: Tensor,
    offset_G1: Tensor,
    gate_S: Tensor | None,
    deterministic: bool,
    precision: str,
) -> Routed:
    gate = None if gate_S is None else gate_S.float().contiguous()
    return Routed(order_S.contiguous(), offset_G1.contiguous(), gate, deterministic, precision)


def _require_supported(x_RX: Tensor) -> None:
    if x_RX.device.type != ("cpu" if is_interpreted() else "cuda"):
        raise ValueError(
            f'backend="triton" cannot run on {x_RX.device.type}; use backend="auto", or set '
            "TRITON_INTERPRET=1 before Python starts to interpret kernels on the CPU"
        )
    if x_RX.dtype not in _TYPES:
        raise ValueError(f'backend="triton" has no {x_RX.dtype} rows; use backend="sorted"')
