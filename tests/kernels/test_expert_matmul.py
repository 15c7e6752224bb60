"""Every backend against the definition: outputs and every gradient."""

import itertools
import re
from typing import NamedTuple

import pytest
import torch
from comparison import PROJECTIONS, rms_relative
from documents import read_document
from torch.utils.flop_counter import FlopCounterMode

from switchhead_kernels.expert_matmul import (
    choose_backend,
    expert_matmul,
    make_routing,
)
from switchhead_kernels.native import build

# RMS-relative; float64 has rounding errors only, bf16 an 8-bit mantissa and sums of many terms.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


class Case(NamedTuple):
    """Sizes, in the order N, H, E, X, Y, K."""

    n_tokens: int
    n_heads: int
    n_experts: int
    width_in: int
    width_out: int
    top_k: int
    one_takes_all: bool = False  # expert 0 of every head


CASES = {
    "usual": Case(33, 2, 4, 12, 5, 2),
    "one-token": Case(1, 1, 3, 8, 4, 1),
    "all-experts": Case(17, 3, 3, 7, 41, 3),
    "one-expert": Case(10, 2, 1, 6, 3, 1),
    "odd-widths": Case(70, 2, 5, 41, 76, 3),
    "several-tiles": Case(1300, 2, 3, 20, 9, 2),
    "one-takes-all": Case(700, 2, 5, 41, 76, 1, one_takes_all=True),
}
BACKENDS = ("reference", "dense", "sorted", "cpu")
# C++ has one kernel per dtype. The plain backends have one path, tested exactly in float64 and in
# bfloat16, where gates are finer than rows.
COMPARED = [
    *itertools.product(["cpu"], [torch.float32, torch.bfloat16], CASES),
    *itertools.product(["dense", "sorted"], [torch.float64], CASES),
    *itertools.product(["dense", "sorted"], [torch.float32], ["usual"]),
    *itertools.product(["dense", "sorted"], [torch.bfloat16], ["usual", "one-takes-all"]),
]


def routed(case: str, projection: str, dtype: torch.dtype):
    N, H, E, X, Y, K, one_takes_all = CASES[case]
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(N, H, E, generator=generator, dtype=torch.float64)
    if one_takes_all:
        scores[..., 0] += 1
    gate, index = scores.topk(K, dim=-1)

    def make(*shape: int) -> torch.Tensor:
        value = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return value.to(dtype).requires_grad_()

    rows = {"token": (N, X), "head": (N, H, X), "slot": (N, H, K, X)}[PROJECTIONS[projection][0]]
    gate = gate.to(torch.float32 if dtype == torch.bfloat16 else dtype).requires_grad_()
    return make(*rows), make(H, E, X, Y), index, gate


def multiply(projection: str, x, weight, index, gate, backend: str) -> torch.Tensor:
    rows_in, rows_out = PROJECTIONS[projection]
    routing = make_routing(index, weight.shape[1])
    return expert_matmul(
        x, weight, routing, gate, rows_in=rows_in, rows_out=rows_out, backend=backend
    )


def compare(backend: str, projection: str, case: str, dtype, *, weight_dtype=None) -> None:
    """Compare output and every gradient with the definition in float64, on the same values."""
    x, weight, index, gate = routed(case, projection, dtype)
    if weight_dtype is not None:
        weight = weight.detach().to(weight_dtype).requires_grad_()
    fast = multiply(projection, x, weight, index, gate, backend)
    exact_inputs = [t.detach().double().requires_grad_() for t in (x, weight, gate)]
    exact = multiply(
        projection, exact_inputs[0], exact_inputs[1], index, exact_inputs[2], "reference"
    )
    assert fast.shape == exact.shape
    assert fast.dtype == dtype
    assert rms_relative(fast, exact) < TOLERANCE[dtype]
    grad = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    grad = grad.to(dtype)
    fast_grads = torch.autograd.grad(fast, (x, weight, gate), grad)
    exact_grads = torch.autograd.grad(exact, exact_inputs, grad.double())
    for ours, theirs, given in zip(fast_grads, exact_grads, (x, weight, gate), strict=True):
        assert ours.dtype == given.dtype
        assert rms_relative(ours, theirs) < TOLERANCE[dtype]


@pytest.mark.parametrize(("backend", "dtype", "case"), COMPARED, ids=str)
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_backend_equals_the_definition(backend, projection, case, dtype) -> None:
    compare(backend, projection, case, dtype)


MIXED = [("cpu", "usual"), ("cpu", "odd-widths"), ("dense", "usual"), ("sorted", "usual")]


@pytest.mark.parametrize(("backend", "case"), MIXED)
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_bf16_rows_with_float32_weights(backend: str, projection: str, case: str) -> None:
    compare(backend, projection, case, torch.bfloat16, weight_dtype=torch.float32)


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_gate_is_a_gate_of_one(backend: str, projection: str) -> None:
    x, weight, index, gate = routed("usual", projection, torch.float32)
    grads = []
    for given in (None, torch.ones_like(gate)):
        out = multiply(projection, x, weight, index, given, backend)
        grads.append((out, *torch.autograd.grad(out.square().sum(), (x, weight))))
    for without, with_ones in zip(*grads, strict=True):
        torch.testing.assert_close(without, with_ones)


@pytest.mark.parametrize("backend", ["sorted", "cpu"])
def test_rows_need_not_be_contiguous(backend: str) -> None:
    x, weight, index, gate = routed("usual", "value", torch.float32)
    wide = torch.cat([x.detach(), x.detach()], dim=1)[:, : x.shape[1]].requires_grad_()
    assert not wide.is_contiguous()
    ours = multiply("value", wide, weight, index, gate, backend)
    assert torch.equal(ours, multiply("value", x, weight, index, gate, backend))
    (grad,) = torch.autograd.grad(ours.sum(), wide)
    (expected,) = torch.autograd.grad(
        ours.new_ones(1) * 0 + multiply("value", x, weight, index, gate, backend).sum(), x
    )
    assert torch.equal(grad, expected)


def test_the_example_of_the_document_is_a_value_projection() -> None:
    text = read_document("kernels/README.md")
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    x, weight, index, gate = routed("usual", "value", torch.float32)
    names = {"x_ND": x, "weight_HEDP": weight, "index_NHK": index, "gate_NHK": gate}
    exec(example, found := {**names, "n_experts": weight.shape[1]})
    expected = multiply("value", x, weight, index, gate, "reference")
    torch.testing.assert_close(found["value_NHP"], expected)


def everything(n_threads: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return output and gradients of a problem with several tiles, computed by `n_threads`."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        x, weight, index, gate = routed("several-tiles", "value", dtype)
        out = multiply("value", x, weight, index, gate, "cpu")
        return [out, *torch.autograd.grad(out.float().square().sum(), (x, weight, gate))]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_cpu_kernel_gives_the_same_bits_at_any_number_of_threads(dtype) -> None:
    one, two, again = everything(1, dtype), everything(2, dtype), everything(2, dtype)
    for a, b, c in zip(one, two, again, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(b, c)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_definition_is_the_sum_over_slots(projection: str) -> None:
    """Against a loop over slots."""
    x, weight, index, gate = routed("usual", projection, torch.float64)
    N, H, K = index.shape
    rows_in, rows_out = PROJECTIONS[projection]
    products = torch.zeros(N, H, K, weight.shape[3], dtype=torch.float64)
    for n in range(N):
        for h in range(H):
            for k in range(K):
                row = {"token": x[n], "head": x[n][h % len(x[n])], "slot": None}[rows_in]
                row = x[n, h, k] if rows_in == "slot" else row
                products[n, h, k] = gate[n, h, k] * (row @ weight[h, index[n, h, k]])
    dims = {"token": (1, 2), "head": (2,), "slot": ()}[rows_out]
    expected = products.sum(dim=dims) if dims else products
    ours = multiply(projection, x, weight, index, gate, "reference")
    torch.testing.assert_close(ours, expected.detach(), check_dtype=True)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_gradcheck(projection: str) -> None:
    """For the backend whose gradient is written by hand in every dtype."""
    x, weight, index, gate = routed("usual", projection, torch.float64)
    x, gate = (t[:3].detach().requires_grad_() for t in (x, gate))

    def function(*inputs):
        return multiply(projection, inputs[0], inputs[1], index[:3], inputs[2], "sorted")

    assert torch.autograd.gradcheck(function, (x, weight, gate))


@pytest.mark.parametrize("backend", BACKENDS)
def test_unused_experts_get_no_gradient(backend: str) -> None:
    x, weight, index, gate = routed("usual", "value", torch.float32)
    index = torch.zeros_like(index)
    index[..., 1] = 1  # experts 2 and 3 are never chosen
    multiply("value", x, weight, index, gate, backend).sum().backward()
    assert weight.grad is not None
    assert not weight.grad[:, 2:].any()
    assert weight.grad[:, :2].any()


@pytest.mark.parametrize("backend", ["sorted", "cpu"])
def test_op_registration_is_complete(backend: str) -> None:
    """Schema, fake kernel and autograd agree with the computation."""
    x, weight, index, gate = routed("usual", "value", torch.float32)
    routing = make_routing(index, weight.shape[1])
    by_order = (routing.order_S, routing.offset_G1) if backend == "sorted" else (None, None)
    arguments = (
        *(x, weight, routing.index_NHK, *by_order, gate),
        *("token", "head", backend, True, "ieee"),
    )
    torch.library.opcheck(torch.ops.switchhead.expert_matmul.default, arguments)


@pytest.mark.parametrize("backend", ["sorted", "cpu"])
def test_flops_are_those_of_the_chosen_experts(backend: str) -> None:
    x, weight, index, gate = routed("usual", "output", torch.float32)
    counter = FlopCounterMode(display=False)
    with counter:
        out = multiply("output", x, weight, index, gate, backend)
    N, H, K = index.shape
    assert counter.get_total_flops() == 2 * N * H * K * weight.shape[2] * weight.shape[3]
    with counter:
        out.sum().backward()
    assert counter.get_total_flops() == 4 * N * H * K * weight.shape[2] * weight.shape[3]


def test_routing_sorts_slots_stably_by_expert_of_a_head() -> None:
    routing = make_routing(torch.tensor([[[1, 0], [0, 1]], [[0, 2], [0, 2]]]), 3)
    assert routing.n_groups == 6
    assert routing.group_NHK.flatten().tolist() == [1, 0, 3, 4, 0, 2, 3, 5]
    assert routing.order_S.tolist() == [1, 4, 0, 5, 2, 6, 3, 7]
    assert routing.offset_G1.tolist() == [0, 2, 3, 4, 6, 7, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "fast"}, 'backend="fast"; use auto, reference, dense, sorted, cpu, triton'),
        ({"backend": "sorted", "precision": "tf32"}, 'precision="tf32" is of backend="triton"'),
        ({"backend": "cpu", "deterministic": False}, "always deterministic"),
        ({"backend": "dense", "rows_out": "token"}, 'use backend="reference"'),
        ({"backend": "cpu", "dtype": torch.float64}, 'use backend="sorted"'),
    ],
)
def test_unsupported_options_are_refused(options: dict, message: str) -> None:
    dtype = options.pop("dtype", torch.float32)
    x, weight, index, gate = routed("usual", "up", dtype)
    rows = {"rows_in": "token", "rows_out": "slot", **options}
    with pytest.raises(ValueError, match=message):
        expert_matmul(x, weight, make_routing(index, 4), gate, **rows)


def chosen(x: torch.Tensor, n_experts: int, width: int, top_k: int) -> str:
    return choose_backend(x, x.new_empty(2, n_experts, width, 8), top_k)


def test_auto_follows_its_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.empty(4, 8)
    assert chosen(rows, 4, 8, 2) == "cpu"
    assert chosen(rows.to("meta"), 4, 8, 2) == "sorted"
    assert chosen(rows.double(), 4, 8, 2) == "dense"
    assert chosen(rows.bfloat16(), 4, 8, 2) == "cpu"
    monkeypatch.setattr(build, "why_unavailable", lambda: "no compiler")
    assert chosen(rows, 5, 128, 1) == "dense"
    assert chosen(rows, 6, 128, 1) == "sorted"
    assert chosen(rows, 5, 412, 2) == "dense"
    assert chosen(rows, 5, 412, 1) == "sorted"


def test_an_invalid_expert_index_is_an_error() -> None:
    x, weight, index, gate = routed("usual", "value", torch.float32)
    with pytest.raises(IndexError, match=r"an expert index is outside 0\.\.3"):
        multiply("value", x, weight, index + 3, gate, "cpu")
