"""The candidates: the backends, other libraries, and a dense matmul of the same MACs.

Letters: N tokens, X width in, Y width out, S slots.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from switchhead_kernels.bench.problems import DTYPES, Inputs, Problem, seeded_generator
from switchhead_kernels.expert_matmul import Backend, expert_matmul, make_routing
from switchhead_kernels.expert_matmul.op import Precision
from switchhead_kernels.expert_matmul.slots import slots_of

Matmul = Callable[[Problem, Inputs], Tensor]
"""Computes a problem's output from its inputs, including the sorting of choices."""

Matmuls = Mapping[str, Matmul]
"""Candidates by name."""

LINEAR, MATMUL = "linear", "mm"
REFERENCE: Final = "reference"


def has_device_sync(name: str, dtype: str) -> bool:
    """Return whether a candidate syncs with the device, which no CUDA graph can capture."""
    # `F.grouped_mm` has a kernel for bf16 and falls back to a loop for other types.
    return name in ("sorted", "scattermoe") or (name == "grouped_mm" and dtype != "bf16")


class UnavailableError(RuntimeError):
    """A candidate cannot run here; the message says why."""


def all_matmuls() -> dict[str, Matmul]:
    """Return every candidate that computes the problem's output, by name."""
    backends: dict[str, Matmul] = {name: backend_matmul(name) for name in get_args(Backend)}
    return backends | {"grouped_mm": _on_cuda(grouped_mm), "scattermoe": _on_cuda(scattermoe)}


def make_linear(
    problem: Problem, device: torch.device, *, casts: bool = True
) -> tuple[Callable[[], Tensor], Inputs]:
    """Return a dense matmul with the problem's multiply-accumulates, and its tensors.

    A value projection is compared with D -> H * K * P, an output projection with H * K * P -> D.

    Args:
        problem: The problem to match.
        device: Where to compute.
        casts: True to cast a float32 weight in every call, as for experts' weights (autocast casts
            once a step); False for a weight already in the rows' dtype.
    """
    n_slots = problem.n_heads * problem.top_k
    is_widening = problem.rows_in == "token"
    width_in = problem.width_in * (1 if is_widening else n_slots)
    width_out = problem.width_out * (n_slots if is_widening else 1)
    dtype = DTYPES[problem.dtype]
    generator = seeded_generator(device)

    def draw(*sizes: int, dtype: torch.dtype = dtype) -> Tensor:
        numbers = torch.randn(*sizes, generator=generator, device=generator.device)
        return numbers.to(device, dtype)

    x = draw(problem.n_tokens, width_in).requires_grad_()
    weight_dtype = torch.float32 if casts else dtype
    weight = draw(width_out, width_in, dtype=weight_dtype).requires_grad_()
    grad = draw(problem.n_tokens, width_out)
    index = torch.empty(0, dtype=torch.int64)
    return lambda: F.linear(x, weight.to(dtype)), Inputs(x, weight, index, None, grad)


def backward_of(forward: Callable[[], Tensor], inputs: Inputs) -> Callable[[], object]:
    """Return a call that runs the forward pass and computes every gradient."""
    wanted = inputs.differentiable
    return lambda: torch.autograd.grad(forward(), wanted, inputs.grad)


def relative_error(matmul: Matmul, problem: Problem, inputs: Inputs, exact: list[Tensor]) -> float:
    """Return the largest relative error of output and gradients (Frobenius norms).

    Args:
        matmul: The candidate.
        problem: The problem.
        inputs: Its tensors.
        exact: `output_and_gradients` of the definition in float64.
    """
    found = output_and_gradients(matmul, problem, inputs)
    pairs = zip(found, exact, strict=True)
    return max(relative_difference(ours, theirs) for ours, theirs in pairs)


def relative_difference(found: Tensor, exact: Tensor) -> float:
    """Return the error relative to `exact` (float64; Frobenius norms)."""
    return float((found.double() - exact).norm() / exact.norm())


def output_and_gradients(matmul: Matmul, problem: Problem, inputs: Inputs) -> list[Tensor]:
    """Return the output, then the gradient of each differentiable input."""
    output = matmul(problem, inputs)
    return [output.detach(), *torch.autograd.grad(output, inputs.differentiable, inputs.grad)]


def grouped_mm(problem: Problem, inputs: Inputs) -> Tensor:
    """`F.grouped_mm`, with a gather before and a sum after it."""
    routing = make_routing(inputs.index_NHK, problem.n_experts)
    slots = slots_of(problem.n_heads, problem.top_k, problem.rows_in, problem.rows_out)
    order = routing.order_S
    rows_SX = inputs.x.flatten(0, -2).index_select(0, order // slots.per_input)
    weight = inputs.weight_HEXY.flatten(0, 1).to(inputs.x.dtype)
    sorted_SY = F.grouped_mm(rows_SX, weight, offs=routing.offset_G1[1:])
    places = torch.arange(len(order), device=order.device)
    place_S = torch.empty_like(order).scatter(0, order, places)
    return _gated_sum(inputs, sorted_SY.index_select(0, place_S), slots.per_output)


def scattermoe(problem: Problem, inputs: Inputs) -> Tensor:
    """ScatterMoE's matmul, with the sum over each head's experts after it, which it lacks."""
    library: Any = importlib.import_module("scattermoe.parallel_experts")
    slots = slots_of(problem.n_heads, problem.top_k, problem.rows_in, problem.rows_out)
    routing = make_routing(inputs.index_NHK, problem.n_experts)
    found = library.flatten_sort_count(routing.group_NHK.flatten().long(), routing.n_groups)
    weight = inputs.weight_HEXY.flatten(0, 1).to(inputs.x.dtype)
    x = inputs.x.flatten(0, -2)
    product_SY = library.parallel_linear(x, weight, slots.per_input, *found)
    return _gated_sum(inputs, product_SY, slots.per_output)


def _gated_sum(inputs: Inputs, product_SY: Tensor, per_output: int) -> Tensor:
    if inputs.gate_NHK is not None:
        product_SY = product_SY * inputs.gate_NHK.flatten()[:, None].to(product_SY.dtype)
    summed = product_SY.unflatten(0, (-1, per_output)).sum(dim=1)
    return summed.view(inputs.grad.shape)


def backend_matmul(
    name: Backend, *, deterministic: bool = True, precision: Precision = "ieee"
) -> Matmul:
    """Return the candidate of one backend, with options as in `expert_matmul`."""

    def multiply(problem: Problem, inputs: Inputs) -> Tensor:
        return expert_matmul(
            inputs.x,
            inputs.weight_HEXY,
            make_routing(inputs.index_NHK, problem.n_experts),
            inputs.gate_NHK,
            rows_in=problem.rows_in,
            rows_out=problem.rows_out,
            backend=name,
            deterministic=deterministic,
            precision=precision,
        )

    return multiply


def _on_cuda(matmul: Matmul) -> Matmul:
    def multiply(problem: Problem, inputs: Inputs) -> Tensor:
        if inputs.x.device.type != "cuda":
            raise UnavailableError("compared on CUDA only")
        return matmul(problem, inputs)

    return multiply
