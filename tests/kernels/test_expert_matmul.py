"""The fast backend against the definition: outputs and every gradient."""

import pytest
import torch

from switchhead_kernels.expert_matmul import project_outputs, project_values

# RMS-relative; float64 leaves rounding only, bf16 has 8 bits of mantissa and sums over D or H * K.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}

CASES = {
    "usual": (33, 2, 4, 12, 5, 2),
    "one-token": (1, 1, 3, 8, 4, 1),
    "all-experts": (17, 3, 3, 7, 41, 3),
    "one-expert": (10, 2, 1, 6, 3, 1),
}


def routed(case: str, dtype: torch.dtype, *, skew: bool = False):
    N, H, E, D, P, K = CASES[case]
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(N, H, E, generator=generator, dtype=torch.float64)
    if skew:
        scores[..., 0] += 1  # every token of every head takes expert 0
    gate, index = scores.topk(K, dim=-1)

    def make(*shape: int) -> torch.Tensor:
        value = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return value.to(dtype).requires_grad_()

    gate = gate.to(torch.float32 if dtype == torch.bfloat16 else dtype).requires_grad_()
    return (
        (make(N, D), make(H, E, D, P), index, gate),
        (make(N, H, P), make(H, E, P, D), index, gate),
    )


def rms_relative(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("skew", [False, True], ids=["spread", "one-takes-all"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("side", ["values", "outputs"])
def test_dense_backend_equals_the_definition(case, side, skew, dtype) -> None:
    project = {"values": project_values, "outputs": project_outputs}[side]
    x, weight, index, gate = routed(case, dtype, skew=skew)[side == "outputs"]
    fast = project(x, weight, index, gate)
    exact_inputs = [t.detach().double().requires_grad_() for t in (x, weight, gate)]
    exact = project(exact_inputs[0], exact_inputs[1], index, exact_inputs[2], backend="reference")
    assert fast.shape == exact.shape
    assert fast.dtype == dtype
    assert rms_relative(fast, exact) < TOLERANCE[dtype]
    grad = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fast_grads = torch.autograd.grad(fast, (x, weight, gate), grad.to(dtype))
    exact_grads = torch.autograd.grad(exact, exact_inputs, grad)
    for ours, theirs in zip(fast_grads, exact_grads, strict=True):
        assert rms_relative(ours, theirs) < TOLERANCE[dtype]


@pytest.mark.parametrize("side", [0, 1], ids=["values", "outputs"])
def test_definition_passes_gradcheck(side: int) -> None:
    project = (project_values, project_outputs)[side]
    x, weight, index, gate = routed("usual", torch.float64)[side]
    x = x[:4].detach().requires_grad_()
    index, gate = index[:4], gate[:4].detach().requires_grad_()

    def function(*inputs):
        return project(inputs[0], inputs[1], index, inputs[2], backend="reference")

    assert torch.autograd.gradcheck(function, (x, weight, gate))


def test_unused_experts_get_no_gradient() -> None:
    (x, weight, index, gate), _ = routed("usual", torch.float64)
    index = torch.zeros_like(index)
    index[..., 1] = 1  # experts 2 and 3 are never chosen
    project_values(x, weight, index, gate).sum().backward()
    assert weight.grad is not None
    assert not weight.grad[:, 2:].any()
    assert weight.grad[:, :2].any()
