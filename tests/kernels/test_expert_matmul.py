"""The fast backend against the definition: outputs and every gradient."""

import pytest
import torch

from switchhead_kernels.expert_matmul import expert_matmul

# RMS-relative; float64 leaves rounding only, bf16 has 8 bits of mantissa and sums over many terms.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}

# N tokens, H heads, E experts, X width in, Y width out, K chosen.
CASES = {
    "usual": (33, 2, 4, 12, 5, 2),
    "one-token": (1, 1, 3, 8, 4, 1),
    "all-experts": (17, 3, 3, 7, 41, 3),
    "one-expert": (10, 2, 1, 6, 3, 1),
}
PROJECTIONS = {
    "value": ("token", "head"),
    "output": ("head", "token"),
    "up": ("token", "slot"),
    "down": ("slot", "token"),
}


def routed(case: str, projection: str, dtype: torch.dtype, *, skew: bool = False):
    N, H, E, X, Y, K = CASES[case]
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(N, H, E, generator=generator, dtype=torch.float64)
    if skew:
        scores[..., 0] += 1  # every token of every head takes expert 0
    gate, index = scores.topk(K, dim=-1)

    def make(*shape: int) -> torch.Tensor:
        value = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return value.to(dtype).requires_grad_()

    rows = {"token": (N, X), "head": (N, H, X), "slot": (N, H, K, X)}[PROJECTIONS[projection][0]]
    gate = gate.to(torch.float32 if dtype == torch.bfloat16 else dtype).requires_grad_()
    return make(*rows), make(H, E, X, Y), index, gate


def multiply(projection: str, x, weight, index, gate, backend: str = "dense") -> torch.Tensor:
    rows_in, rows_out = PROJECTIONS[projection]
    return expert_matmul(
        x, weight, index, gate, rows_in=rows_in, rows_out=rows_out, backend=backend
    )


def rms_relative(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("skew", [False, True], ids=["spread", "one-takes-all"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_dense_backend_equals_the_definition(projection, case, skew, dtype) -> None:
    x, weight, index, gate = routed(case, projection, dtype, skew=skew)
    fast = multiply(projection, x, weight, index, gate)
    exact_inputs = [t.detach().double().requires_grad_() for t in (x, weight, gate)]
    exact = multiply(
        projection, exact_inputs[0], exact_inputs[1], index, exact_inputs[2], "reference"
    )
    assert fast.shape == exact.shape
    assert fast.dtype == dtype
    assert rms_relative(fast, exact) < TOLERANCE[dtype]
    grad = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fast_grads = torch.autograd.grad(fast, (x, weight, gate), grad.to(dtype))
    exact_grads = torch.autograd.grad(exact, exact_inputs, grad)
    for ours, theirs in zip(fast_grads, exact_grads, strict=True):
        assert rms_relative(ours, theirs) < TOLERANCE[dtype]


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_no_gate_is_a_gate_of_one(projection: str) -> None:
    x, weight, index, gate = routed("usual", projection, torch.float64)
    ones = torch.ones_like(gate)
    for backend in ("dense", "reference"):
        without = multiply(projection, x, weight, index, None, backend)
        torch.testing.assert_close(without, multiply(projection, x, weight, index, ones, backend))


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_definition_is_the_sum_over_slots(projection: str) -> None:
    """One slot at a time, written out."""
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
def test_definition_passes_gradcheck(projection: str) -> None:
    x, weight, index, gate = routed("usual", projection, torch.float64)
    x, gate = (t[:3].detach().requires_grad_() for t in (x, gate))

    def function(*inputs):
        return multiply(projection, inputs[0], inputs[1], index[:3], inputs[2], "reference")

    assert torch.autograd.gradcheck(function, (x, weight, gate))


def test_unused_experts_get_no_gradient() -> None:
    x, weight, index, gate = routed("usual", "value", torch.float64)
    index = torch.zeros_like(index)
    index[..., 1] = 1  # experts 2 and 3 are never chosen
    multiply("value", x, weight, index, gate).sum().backward()
    assert weight.grad is not None
    assert not weight.grad[:, 2:].any()
    assert weight.grad[:, :2].any()


def test_a_combination_that_the_backend_lacks_is_refused() -> None:
    x, weight, index, gate = routed("usual", "up", torch.float64)
    with pytest.raises(ValueError, match='use backend="reference"'):
        expert_matmul(x, weight, index, gate, rows_in="token", rows_out="token")
