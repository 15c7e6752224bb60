"""Rows sorted by expert, one matmul each: no wasted products, on any device, in plain PyTorch.

Letters: S slots, G groups (experts of all heads), X width in, Y width out.
"""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from switchhead_kernels.expert_matmul.slots import Slots


def forward(
    x_RX: Tensor,
    weight_GXY: Tensor,
    order_S: Tensor,
    offset_G1: Tensor,
    gate_S: Tensor | None,
    slots: Slots,
) -> Tensor:
    """Return the summed products, shape [S / per_output, Y]."""
    weight_GXY = weight_GXY.to(x_RX.dtype)
    rows_SX = x_RX.index_select(0, order_S // slots.per_input)
    product_SY = rows_SX.new_empty(len(order_S), weight_GXY.shape[2])
    for group, part in _groups(offset_G1):
        torch.mm(rows_SX[part], weight_GXY[group], out=product_SY[part])
    return _sum(_unsort(product_SY, order_S), gate_S, slots.per_output)


def backward(
    grad_QY: Tensor,
    x_RX: Tensor,
    weight_GXY: Tensor,
    order_S: Tensor,
    offset_G1: Tensor,
    gate_S: Tensor | None,
    slots: Slots,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and gate (float32 or finer; empty without gates)."""
    weight = weight_GXY.to(x_RX.dtype)
    rows_SX = x_RX.index_select(0, order_S // slots.per_input)
    grads_SY = grad_QY.index_select(0, order_S // slots.per_output)
    # Ungated, so that the gate's gradient is a dot product with the input.
    through_SX = rows_SX.new_empty(rows_SX.shape)
    for group, part in _groups(offset_G1):
        torch.mm(grads_SY[part], weight[group].T, out=through_SX[part])
    fine = torch.promote_types(x_RX.dtype, torch.float32)
    grad_gate = x_RX.new_empty(0, dtype=fine)
    if gate_S is not None:
        dots_S = (through_SX.to(fine) * rows_SX.to(fine)).sum(dim=-1)
        grad_gate = _unsort(dots_S, order_S)
        grads_SY = grads_SY * gate_S.index_select(0, order_S)[:, None].to(grads_SY.dtype)
    grad_weight = torch.zeros_like(weight)
    for group, part in _groups(offset_G1):
        torch.mm(rows_SX[part].T, grads_SY[part], out=grad_weight[group])
    grad_x = _sum(_unsort(through_SX, order_S), gate_S, slots.per_input)
    return grad_x, grad_weight.to(weight_GXY.dtype), grad_gate


def _groups(offset_G1: Tensor) -> Iterator[tuple[int, slice]]:
    """Yield the groups that have slots, with their ranges."""
    offsets = offset_G1.tolist()
    for group, (start, end) in enumerate(itertools.pairwise(offsets)):
        if end > start:
            yield group, slice(start, end)


def _unsort(sorted_S: Tensor, order_S: Tensor) -> Tensor:
    """Return rows in slot order, gathered by the inverse permutation, which is deterministic."""
    inverse_S = torch.empty_like(order_S)
    inverse_S[order_S] = torch.arange(len(order_S), device=order_S.device)
    return sorted_S.index_select(0, inverse_S)


def _sum(product_SY: Tensor, gate_S: Tensor | None, per_row: int) -> Tensor:
    """Add up the gated products of each row, in the gates' dtype (float32 or finer)."""
    if gate_S is None and per_row == 1:
        return product_SY
    product_QLY = product_SY.unflatten(0, (-1, per_row))
    if gate_S is None:
        return product_QLY.sum(dim=1)
    gate_QL1 = gate_S.view(-1, per_row, 1).to(product_SY.dtype)
    return (product_QLY * gate_QL1).sum(dim=1)
