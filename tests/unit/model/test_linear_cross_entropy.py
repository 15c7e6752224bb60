import pytest
import torch
import torch.nn.functional as F

from switchhead_lab.model import linear_cross_entropy as module
from switchhead_lab.model.linear_cross_entropy import linear_cross_entropy

N, D, V, IGNORE = 23, 6, 11, -100


@pytest.fixture(params=[4, 1000], ids=["pieces", "whole"], autouse=True)
def _rows_of_a_piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FEWEST_ROWS", request.param)
    monkeypatch.setitem(module._PIECE_LOGITS, "cpu", 1)


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


def test_loss_and_gradients_are_those_of_logits_and_cross_entropy() -> None:
    *inputs, target = problem(torch.float64)
    ours, theirs = linear_cross_entropy(*inputs, target, IGNORE), by_library(*inputs, target)
    torch.testing.assert_close(ours, theirs)
    our_grads = torch.autograd.grad(ours / 7, inputs)
    for a, b in zip(our_grads, torch.autograd.grad(theirs / 7, inputs), strict=True):
        torch.testing.assert_close(a, b)


def test_gradcheck() -> None:
    *inputs, target = problem(torch.float64)
    assert torch.autograd.gradcheck(
        lambda *x: linear_cross_entropy(*x, target, IGNORE), tuple(inputs)
    )


def test_under_autocast_products_are_bf16_and_losses_float32() -> None:
    *inputs, target = problem(torch.float32)
    exact = by_library(*inputs, target)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(*inputs, target, IGNORE)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0.0)
    for grad, x in zip(torch.autograd.grad(loss, inputs), inputs, strict=True):
        assert grad.dtype == x.dtype


def test_without_gradient_nothing_is_kept() -> None:
    *inputs, target = problem(torch.float32)
    with torch.no_grad():
        loss = linear_cross_entropy(*inputs, target, IGNORE)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, by_library(*inputs, target).detach())


def test_nothing_to_score_is_no_loss_and_no_gradient() -> None:
    *inputs, target = problem(torch.float32)
    loss = linear_cross_entropy(*inputs, torch.full_like(target, IGNORE), IGNORE)
    assert loss == 0
    assert not any(grad.any() for grad in torch.autograd.grad(loss, inputs))
