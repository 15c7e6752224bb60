"""The output layer with its loss, and its fused pass, against PyTorch's cross-entropy."""

import pytest
import torch
import torch.nn.functional as F
from comparison import TOLERANCE, assert_near, randn

from switchhead_kernels.linear_cross_entropy import linear_cross_entropy
from switchhead_kernels.linear_cross_entropy import op as module
from switchhead_kernels.linear_cross_entropy.fused import cross_entropy_

N, D, V, IGNORE = 23, 6, 11, -100


@pytest.fixture(params=[4, 1000], ids=["chunks", "whole"])
def _rows_per_chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FEWEST_ROWS", request.param)
    monkeypatch.setitem(module._CHUNK_LOGITS, "cpu", 1)


def problem(dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((N, D), (V, D), (V,))
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    target = torch.randint(0, V, (N,), generator=generator)
    target[[0, 5, 22]] = IGNORE
    return [*(x.to(dtype).requires_grad_() for x in made), target]


def by_library(hidden, weight, bias, target) -> torch.Tensor:
    logits = F.linear(hidden, weight, bias)
    return F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="sum")


@pytest.mark.usefixtures("_rows_per_chunk")
def test_loss_and_gradients_are_those_of_logits_and_cross_entropy() -> None:
    *inputs, target = problem(torch.float64)
    ours, theirs = linear_cross_entropy(*inputs, target, IGNORE), by_library(*inputs, target)
    torch.testing.assert_close(ours, theirs)
    our_grads = torch.autograd.grad(ours / 7, inputs)
    for a, b in zip(our_grads, torch.autograd.grad(theirs / 7, inputs), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.usefixtures("_rows_per_chunk")
def test_gradcheck() -> None:
    *inputs, target = problem(torch.float64)
    assert torch.autograd.gradcheck(
        lambda *x: linear_cross_entropy(*x, target, IGNORE), tuple(inputs)
    )


@pytest.mark.usefixtures("_rows_per_chunk")
def test_under_autocast_matmuls_are_bf16_and_losses_float32() -> None:
    *inputs, target = problem(torch.float32)
    exact = by_library(*inputs, target)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(*inputs, target, IGNORE)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0.0)
    for grad, x in zip(torch.autograd.grad(loss, inputs), inputs, strict=True):
        assert grad.dtype == x.dtype


@pytest.mark.usefixtures("_rows_per_chunk")
def test_nothing_is_saved_without_gradients() -> None:
    *inputs, target = problem(torch.float32)
    with torch.no_grad():
        loss = linear_cross_entropy(*inputs, target, IGNORE)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, by_library(*inputs, target).detach())


@pytest.mark.usefixtures("_rows_per_chunk")
def test_no_scored_rows_give_zero_loss_and_gradient() -> None:
    *inputs, target = problem(torch.float32)
    loss = linear_cross_entropy(*inputs, torch.full_like(target, IGNORE), IGNORE)
    assert loss == 0
    assert not any(grad.any() for grad in torch.autograd.grad(loss, inputs))


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", [(1, 2), (3, 16), (200, 37), (70, 501)])
@pytest.mark.parametrize("has_bias", [False, True])
def test_cross_entropy_and_its_gradient(
    dtype: torch.dtype, shape: tuple[int, int], has_bias: bool
) -> None:
    fine = torch.promote_types(dtype, torch.float32)
    bias = randn(shape[1], dtype=fine) if has_bias else None
    logits = (5 * randn(*shape, dtype=torch.float32)).to(dtype)
    target = torch.randint(0, shape[1], shape[:1], generator=torch.Generator().manual_seed(1))
    target[shape[0] // 2 :: 5] = IGNORE
    exact = logits.double() + (0.0 if bias is None else bias.double())
    exact = exact.clone().requires_grad_()
    loss = F.cross_entropy(exact, target, ignore_index=IGNORE, reduction="sum")
    if (target != IGNORE).any():
        loss.backward()
    gradient = torch.zeros_like(exact) if exact.grad is None else exact.grad
    sums = torch.ones(shape[1], dtype=fine)
    untouched = cross_entropy_(logits.clone(), target, IGNORE, bias)
    ours = cross_entropy_(logits, target, IGNORE, bias, sums)
    assert ours.dtype == fine
    assert untouched == ours
    assert float(ours) == pytest.approx(loss.item(), rel=TOLERANCE[fine])
    assert_near(logits, gradient, dtype)
    torch.testing.assert_close(sums.double() - 1, gradient.sum(dim=0), rtol=1e-4, atol=2e-5)


@pytest.mark.usefixtures("by_kernels")
def test_a_target_outside_the_vocabulary_is_an_error() -> None:
    with pytest.raises((IndexError, RuntimeError), match="out of|outside"):
        cross_entropy_(torch.zeros(2, 3), torch.tensor([0, 3]), IGNORE)


@pytest.mark.usefixtures("by_kernels")
def test_large_logits_do_not_overflow_and_nan_propagates() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0] * 9])
    assert cross_entropy_(logits.clone(), torch.tensor([1]), IGNORE) == pytest.approx(
        2e4 + torch.tensor(9.0).log().item()
    )
    for place in (0, 26):
        broken = logits.clone()
        broken[0, place] = float("nan")
        assert cross_entropy_(broken, torch.tensor([1]), IGNORE).isnan()


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    target = torch.randint(0, 37, (300,), generator=torch.Generator().manual_seed(1))
    results = []
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            logits, sums = randn(300, 37, dtype=torch.bfloat16), torch.zeros(37)
            loss = cross_entropy_(logits, target, IGNORE, None, sums)
            results.append((loss, logits, sums))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)
