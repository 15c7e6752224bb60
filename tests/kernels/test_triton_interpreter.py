"""The Triton kernels against the definition, run by Triton's interpreter on the CPU.

The interpreter must be enabled before triton is imported, and out-of-bounds reads kill its process.
So this file runs itself as a child: `python test_triton_interpreter.py CHECK`.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
from comparison import PROJECTIONS, rms_relative
from torch import Tensor

# RMS-relative; measured up to 1.7e-7, 3.0e-4 and 3.5e-3. float32: the order of sums. float16 and
# bfloat16: inputs are exact and sums float32, so results are rounded once, to 11 and 8 bits, and
# for the weight gradient the gated operand too; the interpreter truncates to bfloat16.
TOLERANCE = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
# The order of sums again, 1.7e-7: gates and their gradients are float32 for any rows.
GATE_TOLERANCE = 1e-6

GUARD = 64  # elements before and after each buffer


class Case(NamedTuple):
    """Sizes, in the order N, H, E, X, Y, K; tiles are 32 x 64 in steps of 32."""

    n_tokens: int
    n_heads: int
    n_experts: int
    width_in: int
    width_out: int
    top_k: int
    chosen: int = 0  # experts that may be chosen, 0 for all
    weight_type: torch.dtype | None = None


CASES = {
    "usual": Case(33, 2, 4, 41, 28, 2),
    "one-token": Case(1, 1, 3, 16, 8, 1),
    "all-experts": Case(21, 3, 3, 20, 41, 3),
    "one-expert-split": Case(70, 1, 1, 76, 40, 1),
    "empty-experts": Case(20, 2, 9, 24, 16, 2, chosen=3),
    "one-takes-all": Case(40, 2, 4, 41, 76, 1, chosen=1),
}
LARGE = Case(5, 2, 3, 412, 76, 2)


class Problem(NamedTuple):
    """Arguments of a projection and the exact results, in the backend's shapes."""

    x_RX: Tensor
    weight_GXY: Tensor
    order_S: Tensor
    offset_G1: Tensor
    gate_S: Tensor | None
    slots: Any
    grad_QY: Tensor
    exact: dict[str, Tensor]


def make_problem(case: Case, projection: str, dtype: torch.dtype, *, gated: bool = True) -> Problem:
    from switchhead_kernels.expert_matmul import reference
    from switchhead_kernels.expert_matmul.routing import make_routing
    from switchhead_kernels.expert_matmul.slots import slots_of

    N, H, E, X, Y, K, chosen, weight_type = case
    generator = torch.Generator().manual_seed(0)
    index = torch.rand(N, H, chosen or E, generator=generator).topk(K, dim=-1).indices
    rows_in, rows_out = PROJECTIONS[projection]
    shape = {"token": (N, X), "head": (N, H, X), "slot": (N, H, K, X)}[rows_in]
    x = torch.randn(shape, generator=generator).to(dtype)
    weight = torch.randn(H, E, X, Y, generator=generator).to(dtype).to(weight_type or dtype)
    gate = torch.rand(N, H, K, generator=generator) if gated else None
    inputs = [t.double().requires_grad_() for t in (x, weight, gate) if t is not None]
    exact_gate = inputs[2] if gated else None
    out = reference.expert_matmul(inputs[0], inputs[1], index, exact_gate, rows_in, rows_out)
    grad = torch.randn(out.shape, generator=generator).to(dtype)
    grads = torch.autograd.grad(out, inputs, grad.double())
    names = ("grad_x", "grad_weight", "grad_gate")
    exact = {"out": out.detach(), **dict(zip(names, grads, strict=False))}
    routing = make_routing(index, E)
    return Problem(
        x.flatten(0, -2),
        weight.flatten(0, 1),
        routing.order_S,
        routing.offset_G1,
        None if gate is None else gate.flatten(),
        slots_of(H, K, rows_in, rows_out),
        grad.flatten(0, -2),
        exact,
    )


def guarded(values: Tensor) -> Tensor:
    """Copy values into a buffer, between guards that no kernel may read."""
    fill = float("nan") if values.is_floating_point() else 2**30
    flat = torch.full((values.numel() + 2 * GUARD,), fill, dtype=values.dtype)
    middle = flat[GUARD:-GUARD].view(values.shape)
    return middle.copy_(values)


@contextmanager
def watched_allocations() -> Iterator[None]:
    """Allocate buffers full of NaN between guards, and check the guards afterwards."""
    buffers = []

    def empty(shape: Any, *, dtype: torch.dtype, device: Any) -> Tensor:
        size = torch.Size(shape).numel()
        flat = torch.full((size + 2 * GUARD,), float("nan"), dtype=dtype, device=device)
        buffers.append(flat)
        return flat[GUARD:-GUARD].view(shape)

    def zeros(shape: Any, *, dtype: torch.dtype, device: Any) -> Tensor:
        return empty(shape, dtype=dtype, device=device).zero_()

    with mock.patch("torch.empty", empty), mock.patch("torch.zeros", zeros):
        yield
    assert buffers, "the kernels allocate elsewhere"
    for flat in buffers:
        assert flat[:GUARD].isnan().all(), "something was written before a buffer"
        assert flat[-GUARD:].isnan().all(), "something was written after a buffer"


def run(problem: Problem, *, deterministic: bool = True) -> dict[str, Tensor]:
    from switchhead_kernels.expert_matmul import triton_backend

    options = {"deterministic": deterministic, "precision": "ieee"}
    given = [problem.x_RX, problem.weight_GXY, problem.order_S, problem.offset_G1, problem.gate_S]
    given = [None if tensor is None else guarded(tensor) for tensor in given]
    with watched_allocations():
        out = triton_backend.forward(*given, problem.slots, **options)
        grads = triton_backend.backward(guarded(problem.grad_QY), *given, problem.slots, **options)
    for tensor, before in zip(given, problem, strict=False):
        assert tensor is None or torch.equal(tensor, before), "an input was written to"
    return dict(zip(("out", "grad_x", "grad_weight", "grad_gate"), (out, *grads), strict=True))


def compare(name: str, problem: Problem, results: dict[str, Tensor]) -> None:
    dtype = problem.x_RX.dtype
    types = {"out": dtype, "grad_x": dtype, "grad_weight": problem.weight_GXY.dtype}
    errors = {}
    for what, exact in problem.exact.items():
        ours = results[what]
        assert ours.dtype == types.get(what, torch.float32), f"{name} {what}: {ours.dtype}"
        assert ours.numel() == exact.numel(), f"{name} {what}: {tuple(ours.shape)}"
        errors[what] = rms_relative(ours, exact)
        tolerance = GATE_TOLERANCE if what == "grad_gate" else TOLERANCE[dtype]
        # `<=` rather than `not >`, so that NaN fails.
        assert errors[what] <= tolerance, f"{name} {what}: error {errors[what]:.1e}"
    is_empty_G = problem.offset_G1.diff() == 0
    assert not results["grad_weight"][is_empty_G].any(), f"{name}: gradient of unused weights"
    sys.stdout.write(f"{name} {errors}\n")


def check_dtype(dtype: torch.dtype, projections: tuple[str, ...]) -> None:
    for case_name, case in CASES.items():
        for projection in projections:
            problem = make_problem(case, projection, dtype)
            compare(f"{case_name} {projection}", problem, run(problem))


def check_float32() -> None:
    check_dtype(torch.float32, tuple(PROJECTIONS))
    for projection in ("value", "output"):
        problem = make_problem(LARGE, projection, torch.float32)
        compare(f"large {projection}", problem, run(problem))


def check_float16() -> None:
    check_dtype(torch.float16, ("output", "up"))


def check_bfloat16() -> None:
    check_dtype(torch.bfloat16, ("value", "down"))
    case = CASES["usual"]._replace(weight_type=torch.float32)
    problem = make_problem(case, "value", torch.bfloat16)
    compare("float32 weights", problem, run(problem))


def check_options() -> None:
    """No gates, equal bits, atomics, non-contiguous rows, no tokens."""
    for projection in PROJECTIONS:
        problem = make_problem(CASES["usual"], projection, torch.float32, gated=False)
        results = run(problem)
        assert not results["grad_gate"].numel()
        compare(f"no gates {projection}", problem, results)
        problem = make_problem(CASES["all-experts"], projection, torch.float32)
        first, second = run(problem), run(problem)
        for what, ours in first.items():
            assert torch.equal(ours, second[what]), f"{projection} {what} differs between runs"
        compare(f"atomics {projection}", problem, run(problem, deterministic=False))
    check_strides()
    check_no_tokens()


def check_strides() -> None:
    from switchhead_kernels.expert_matmul import triton_backend

    problem = make_problem(CASES["usual"], "output", torch.float32)
    options = {"deterministic": True, "precision": "ieee"}
    shared = problem[2:6]
    spread = [t.repeat_interleave(2, dim=-1)[..., ::2] for t in problem[:2]]
    assert not any(tensor.is_contiguous() for tensor in spread)
    out = triton_backend.forward(*spread, *shared, **options)
    grad = problem.grad_QY.T.contiguous().T
    grads = triton_backend.backward(grad, *spread, *shared, **options)
    results = (out, *grads)
    compare("strides", problem, dict(zip(problem.exact, results, strict=True)))


def check_no_tokens() -> None:
    from switchhead_kernels.expert_matmul import triton_backend

    problem = make_problem(CASES["usual"], "output", torch.float32)
    empty = (
        *(problem.x_RX[:0], problem.weight_GXY, problem.order_S[:0]),
        *(torch.zeros_like(problem.offset_G1), problem.gate_S[:0], problem.slots),
    )
    options = {"deterministic": True, "precision": "ieee"}
    assert triton_backend.forward(*empty, **options).shape == (0, problem.weight_GXY.shape[2])
    grads = triton_backend.backward(problem.grad_QY[:0], *empty, **options)
    assert [tuple(grad.shape) for grad in grads[::2]] == [(0, problem.x_RX.shape[1]), (0,)]
    assert not grads[1].any()


def check_operator() -> None:
    """The public operator: `expert_matmul` and its gradients."""
    from switchhead_kernels.expert_matmul import expert_matmul, make_routing

    generator = torch.Generator().manual_seed(0)
    routing = make_routing(torch.rand(9, 2, 3, generator=generator).topk(2).indices, 3)
    shapes = ((9, 12), (2, 3, 12, 20), (9, 2, 2))
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    results = {}
    for backend, dtype in (("triton", torch.float32), ("reference", torch.float64)):
        x, weight, gate = (t.to(dtype).requires_grad_() for t in inputs)
        options = {"rows_in": "token", "rows_out": "head", "backend": backend}
        out = expert_matmul(x, weight, routing, gate, **options)
        results[backend] = [out, *torch.autograd.grad(out.square().sum(), (x, weight, gate))]
    for ours, exact in zip(*results.values(), strict=True):
        assert rms_relative(ours, exact) <= TOLERANCE[torch.float32]


def check_measured() -> None:
    """The autotuner: measurements leave nothing in sums and dots."""
    from switchhead_kernels.expert_matmul import triton_configs, triton_forward

    measured = []

    def bench(call: Callable[[], None], quantiles: Any) -> list[float]:
        call()
        call()
        measured.append(call)
        return [1.0 / len(measured)] * 3

    kernel = triton_forward.measured_matmul_kernel
    for dtype in (torch.float32, torch.float16):
        # The last, wide tile is fastest: dots of narrower tiles must not remain.
        problem = make_problem(Case(40, 2, 2, 100, 140, 2), "output", dtype)
        with (
            mock.patch.object(kernel, "_do_bench", bench),
            mock.patch.object(triton_forward, "_config_of", return_value=None),
            mock.patch.object(triton_configs, "shared_memory_of", return_value=100_000),
        ):
            compare(f"measured {dtype}", problem, run(problem, deterministic=False))
            assert len(measured) > 4, "forward and backward choose among several"
            measured.clear()
            compare(f"known {dtype}", problem, run(problem, deterministic=False))
            assert not measured, "a known problem was measured again"


def check_largest() -> None:
    """Largest scores with ties, infinities, NaN and both zeros, in the order of a stable sort."""
    from switchhead_kernels.top_k.custom_op import largest_indices

    generator = torch.Generator().manual_seed(0)
    special = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0])
    for n_rows, n_scores, k in ((33, 5, 2), (1, 1, 1), (7, 6, 6), (130, 100, 4), (0, 4, 2)):
        drawn = torch.randn(n_rows, 2, n_scores, generator=generator)
        among = special[torch.randint(len(special), drawn.shape, generator=generator)]
        for scores in (drawn, drawn.round(), among, among.bfloat16()):
            expected = scores.sort(dim=-1, descending=True, stable=True).indices[..., :k]
            found = largest_indices(scores, k)
            assert torch.equal(found, expected), (n_rows, n_scores, k, scores.dtype)


def check_relative_softmax() -> None:
    """Attention weights and their gradient as PyTorch's own operators compute them."""
    from switchhead_kernels.relative_attention.custom_op import (
        relative_softmax,
        relative_softmax_gradient,
    )

    generator = torch.Generator().manual_seed(0)
    for n_queries, n_keys in ((1, 1), (5, 5), (7, 19), (9, 64)):
        future = torch.full((n_queries, n_keys), float("-inf")).triu_(n_keys - n_queries + 1)
        padding = torch.zeros(3, 1, n_keys)
        padding[1, :, 1:] = float("-inf")
        masks = (None, future, padding, padding + future)
        for mask, more in itertools.product(masks, (1, 6)):
            is_causal = mask is not None and mask.shape[-2] == n_queries
            width = n_keys + more + (0 if is_causal else n_queries - 1)
            content = torch.randn(6, n_queries, n_keys, generator=generator)
            by_distance = torch.randn(6, n_queries, width, generator=generator)
            column = n_queries - 1 + torch.arange(n_keys) - torch.arange(n_queries)[:, None]
            shifted = by_distance.gather(2, column.clamp_max(width - 1).expand(6, -1, -1))
            scores = (content + shifted).double().unflatten(0, (2, 3))
            expected = (scores if mask is None else scores + mask).softmax(dim=-1).flatten(0, 1)
            if mask is not None:
                content.unflatten(0, (2, 3)).masked_fill_(mask == float("-inf"), float("nan"))
            relative_softmax(content, by_distance, mask, 3)
            assert rms_relative(content, expected) <= 1e-6
            grad = torch.randn(content.shape, generator=generator)
            mean = (grad.double() * expected).sum(dim=-1, keepdim=True)
            exact = expected * (grad.double() - mean)
            exact_by_distance = torch.zeros(6, n_queries, n_queries + n_keys + width).double()
            exact_by_distance.scatter_(2, column.expand(6, -1, -1), exact)
            found = relative_softmax_gradient(grad, content, width)
            assert (grad - exact).abs().max() <= 1e-6
            assert (found - exact_by_distance[..., :width]).abs().max() <= 1e-6


CHECKS = {
    "relative_softmax": check_relative_softmax,
    "largest": check_largest,
    "float32": check_float32,
    "float16": check_float16,
    "bfloat16": check_bfloat16,
    "options": check_options,
    "operator": check_operator,
    "measured": check_measured,
}


def _cases() -> Iterator[object]:
    """Yield every check; all but one take long."""
    for name in CHECKS:
        marks = [] if name == "operator" else [pytest.mark.thorough]
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("check", list(_cases()))
def test_kernels_agree_with_the_definition(check: str) -> None:
    child = subprocess.run(
        [sys.executable, __file__, check],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, f"exit {child.returncode}\n{child.stdout}\n{child.stderr}"


def test_cpu_tensors_are_refused_without_the_interpreter() -> None:
    from switchhead_kernels.expert_matmul import triton_backend

    problem = make_problem(CASES["one-token"], "value", torch.float32)
    with pytest.raises(ValueError, match="cannot run on cpu"):
        triton_backend.forward(*problem[:6], deterministic=True, precision="ieee")


if __name__ == "__main__":
    CHECKS[sys.argv[1]]()
