"""The fused backends as one PyTorch operator with fake kernels, gradient and FLOP formulas.

Registered key by key: `torch.library.custom_op` and `register_autograd` do the same but cost the
host three times as much per call, which matters where products take less than a millisecond.

Letters: N tokens, H heads, E experts per head, K chosen per token and head, X width in, Y width
out, S slots, G groups, R rows of x, Q rows of the output.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from switchhead_kernels.expert_matmul import cpu, sorted
from switchhead_kernels.expert_matmul.slots import rows_shape, slots_of

_OPTIONS = "str rows_in, str rows_out, str backend, bool deterministic, str precision"
_TENSORS = "Tensor x, Tensor weight, Tensor index, Tensor? order, Tensor? offset, Tensor? gate"
_INPUTS = f"{_TENSORS}, {_OPTIONS}"
_library = torch.library.Library("switchhead", "DEF")
_library.define(f"expert_matmul({_INPUTS}) -> Tensor", tags=torch.Tag.pt2_compliant_tag)
_library.define(
    f"expert_matmul_backward(Tensor grad, {_INPUTS}) -> (Tensor, Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)


def _forward(
    x: Tensor,
    weight_HEXY: Tensor,
    index_NHK: Tensor,
    order_S: Tensor | None,
    offset_G1: Tensor | None,
    gate_NHK: Tensor | None,
    rows_in: str,
    rows_out: str,
    backend: str,
    deterministic: bool,
    precision: str,
) -> Tensor:
    slots = slots_of(*index_NHK.shape[1:], rows_in, rows_out)
    rows = (x.flatten(0, -2), weight_HEXY.flatten(0, 1))
    gate_S = None if gate_NHK is None else gate_NHK.flatten()
    if backend == "cpu":
        out_QY = cpu.forward(*rows, index_NHK, gate_S, slots)
    else:
        module, options = _module(backend, deterministic, precision)
        out_QY = module.forward(*rows, order_S, offset_G1, gate_S, slots, **options)
    return out_QY.view(rows_shape(index_NHK.shape, rows_out, out_QY.shape[-1]))


def _backward(
    grad: Tensor,
    x: Tensor,
    weight_HEXY: Tensor,
    index_NHK: Tensor,
    order_S: Tensor | None,
    offset_G1: Tensor | None,
    gate_NHK: Tensor | None,
    rows_in: str,
    rows_out: str,
    backend: str,
    deterministic: bool,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    slots = slots_of(*index_NHK.shape[1:], rows_in, rows_out)
    rows = (grad.flatten(0, -2), x.flatten(0, -2), weight_HEXY.flatten(0, 1))
    gate_S = None if gate_NHK is None else gate_NHK.flatten()
    if backend == "cpu":
        grads = cpu.backward(*rows, index_NHK, gate_S, slots)
    else:
        module, options = _module(backend, deterministic, precision)
        grads = module.backward(*rows, order_S, offset_G1, gate_S, slots, **options)
    grad_x, grad_weight, grad_gate = grads
    if gate_NHK is not None:
        grad_gate = grad_gate.view(gate_NHK.shape)
    return grad_x.view(x.shape), grad_weight.view(weight_HEXY.shape), grad_gate


def _module(backend: str, deterministic: bool, precision: str) -> tuple[ModuleType, dict[str, Any]]:
    """Return the module of a backend that works on sorted slots, and its options."""
    if backend == "sorted":
        return sorted, {}
    from switchhead_kernels.expert_matmul import triton_backend

    return triton_backend, {"deterministic": deterministic, "precision": precision}


_library.impl("expert_matmul", _forward, "CompositeExplicitAutograd")
_library.impl("expert_matmul_backward", _backward, "CompositeExplicitAutograd")


@torch.library.register_fake("switchhead::expert_matmul", lib=_library)
def _(x: Tensor, weight: Tensor, index: Tensor, *arguments: Any) -> Tensor:
    rows_out = arguments[4]
    return x.new_empty(rows_shape(index.shape, rows_out, weight.shape[-1]))


@torch.library.register_fake("switchhead::expert_matmul_backward", lib=_library)
def _(_grad: Tensor, x: Tensor, weight: Tensor, _index: Tensor, *arguments: Any) -> Any:
    gate = arguments[2]
    fine = torch.promote_types(x.dtype, torch.float32)
    grad_gate = x.new_empty(0 if gate is None else gate.shape, dtype=fine)
    return x.new_empty(x.shape), weight.new_empty(weight.shape), grad_gate


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        ctx.save_for_backward(*inputs[:6])
        ctx.options = inputs[6:]
        return _below_autograd(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        *_, gate = inputs = ctx.saved_tensors
        grad_x, grad_weight, grad_gate = _backward_op(grad, *inputs, *ctx.options)
        through_gate = None if gate is None else grad_gate.to(gate.dtype)
        nothing = (None,) * len(ctx.options)
        return grad_x, grad_weight, None, None, None, through_gate, *nothing


def _with_autograd(*inputs: Any) -> Tensor:
    if not torch.is_grad_enabled() or not _needs_gradient(*inputs[:6]):
        return _below_autograd(*inputs)
    out: Tensor = _Differentiable.apply(*inputs)
    return out


def _needs_gradient(*inputs: Tensor | None) -> bool:
    return any(x is not None and x.requires_grad for x in inputs)


def _below_autograd(*inputs: Any) -> Tensor:
    with torch._C._AutoDispatchBelowAutograd():
        out: Tensor = expert_matmul_op(*inputs)
        return out


_library.impl("expert_matmul", _with_autograd, "Autograd")
expert_matmul_op = torch.ops.switchhead.expert_matmul.default
_backward_op = torch.ops.switchhead.expert_matmul_backward.default


def _product_flops(weight_shape: Any, index_shape: Any) -> int:
    N, H, K = index_shape
    return int(2 * N * H * K * weight_shape[-2] * weight_shape[-1])


@register_flop_formula(torch.ops.switchhead.expert_matmul)
def _forward_flops(_x_shape: Any, weight_shape: Any, index_shape: Any, *_: Any, **__: Any) -> int:
    return _product_flops(weight_shape, index_shape)


@register_flop_formula(torch.ops.switchhead.expert_matmul_backward)
def _backward_flops(
    _grad_shape: Any, _x_shape: Any, weight_shape: Any, index_shape: Any, *_: Any, **__: Any
) -> int:
    return 2 * _product_flops(weight_shape, index_shape)
