"""The fused backends as one PyTorch operator with fake kernels, gradient and FLOP formulas.

Registered key by key: `torch.library.custom_op` and `register_autograd` do the same but take
the host three times as long per call, which matters where matmuls take less than a millisecond.

Letters: N tokens, H heads, E experts per head, K chosen per token and head, X width in, Y width
out, S slots, G groups, R rows of x, Q rows of the output.
"""

from typing import Any, NamedTuple

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


class _Inputs(NamedTuple):
    """The operator's arguments, in the order of its schema."""

    x: Tensor
    weight_HEXY: Tensor
    index_NHK: Tensor
    order_S: Tensor | None
    offset_G1: Tensor | None
    gate_NHK: Tensor | None
    rows_in: str
    rows_out: str
    backend: str
    deterministic: bool
    precision: str

    def call(self, name: str, *grad_QY: Tensor) -> Any:
        """Call the backend's function with rows and slots flattened to one dimension each."""
        slots = slots_of(*self.index_NHK.shape[1:], self.rows_in, self.rows_out)
        rows = (*grad_QY, self.x.flatten(0, -2), self.weight_HEXY.flatten(0, 1))
        gate_S = None if self.gate_NHK is None else self.gate_NHK.flatten()
        if self.backend == "cpu":
            return getattr(cpu, name)(*rows, self.index_NHK, gate_S, slots)
        by_order = (self.order_S, self.offset_G1)
        if self.backend == "sorted":
            return getattr(sorted, name)(*rows, *by_order, gate_S, slots)
        from switchhead_kernels.expert_matmul import triton_backend

        options = {"deterministic": self.deterministic, "precision": self.precision}
        return getattr(triton_backend, name)(*rows, *by_order, gate_S, slots, **options)


def _forward(*arguments: Any) -> Tensor:
    inputs = _Inputs(*arguments)
    out_QY = inputs.call("forward")
    shape = rows_shape(inputs.index_NHK.shape, inputs.rows_out, out_QY.shape[-1])
    out: Tensor = out_QY.view(shape)
    return out


def _backward(grad: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    inputs = _Inputs(*arguments)
    grad_x, grad_weight, grad_gate = inputs.call("backward", grad.flatten(0, -2))
    if inputs.gate_NHK is not None:
        grad_gate = grad_gate.view(inputs.gate_NHK.shape)
    return grad_x.view(inputs.x.shape), grad_weight.view(inputs.weight_HEXY.shape), grad_gate


_library.impl("expert_matmul", _forward, "CompositeExplicitAutograd")
_library.impl("expert_matmul_backward", _backward, "CompositeExplicitAutograd")


@torch.library.register_fake("switchhead::expert_matmul", lib=_library)
def _(*arguments: Any) -> Tensor:
    inputs = _Inputs(*arguments)
    width = inputs.weight_HEXY.shape[-1]
    return inputs.x.new_empty(rows_shape(inputs.index_NHK.shape, inputs.rows_out, width))


@torch.library.register_fake("switchhead::expert_matmul_backward", lib=_library)
def _(_grad: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    inputs = _Inputs(*arguments)
    x, weight, gate = inputs.x, inputs.weight_HEXY, inputs.gate_NHK
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


def _matmul_flops(weight_shape: Any, index_shape: Any) -> int:
    N, H, K = index_shape
    return int(2 * N * H * K * weight_shape[-2] * weight_shape[-1])


@register_flop_formula(torch.ops.switchhead.expert_matmul)
def _forward_flops(_x_shape: Any, weight_shape: Any, index_shape: Any, *_: Any, **__: Any) -> int:
    return _matmul_flops(weight_shape, index_shape)


@register_flop_formula(torch.ops.switchhead.expert_matmul_backward)
def _backward_flops(
    _grad_shape: Any, _x_shape: Any, weight_shape: Any, index_shape: Any, *_: Any, **__: Any
) -> int:
    return 2 * _matmul_flops(weight_shape, index_shape)
