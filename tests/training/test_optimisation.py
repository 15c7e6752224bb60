import math
from types import SimpleNamespace

import pytest
import torch

from switchhead_lab.training.optimisation import (
    build_optimizer,
    learning_rate,
    set_learning_rate,
    take_clipped_step,
)


def test_the_schedule_is_linear_warm_up_then_a_cosine(tiny_config) -> None:
    config = tiny_config(
        n_steps=110, n_warmup_steps=10, learning_rate=1.0, final_lr_fraction=0.2
    ).training
    assert learning_rate(config, 0) == pytest.approx(0.1)
    assert learning_rate(config, 9) == pytest.approx(1.0)
    assert learning_rate(config, 10) == pytest.approx(1.0)
    assert learning_rate(config, 60) == pytest.approx(0.2 + 0.8 * 0.5)
    assert learning_rate(config, 109) == pytest.approx(
        0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * 0.99))
    )


def test_one_step_of_adamw_against_its_formula(tiny_config) -> None:
    config = tiny_config(weight_decay=0.1).training
    layer = torch.nn.Linear(3, 1, bias=False).double()
    before = layer.weight.detach().clone()
    optimizer = build_optimizer(layer, config)
    layer.weight.grad = torch.tensor([[0.5, -2.0, 0.0]], dtype=torch.float64)
    optimizer.step()
    lr = config.learning_rate
    direction = torch.tensor([[1.0, -1.0, 0.0]], dtype=torch.float64)
    expected = before * (1 - lr * 0.1) - lr * direction
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-6, atol=1e-8)


def step_of(tiny_config, *, by_hand: bool, grads: tuple[float, float], loss: float = 1.0):
    """Return the weights after one clipped step, the norm and whether the step was taken."""
    layer = torch.nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.fill_(1.0), layer.bias.fill_(2.0)
    optimizer = build_optimizer(layer, tiny_config().training)
    set_learning_rate(optimizer, 0.25)
    layer.weight.grad = torch.full((2, 2), grads[0])
    layer.bias.grad = torch.full((2,), grads[1])
    if by_hand:
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 0.6)
        norm, is_taken = optimizer.step(), torch.tensor(True)
    else:
        norm, is_taken = take_clipped_step(optimizer, 0.6, torch.tensor(loss))
    state = [value for x in layer.parameters() for value in optimizer.state[x].values()]
    return [*(x.detach() for x in layer.parameters()), *state], norm, bool(is_taken)


@pytest.mark.parametrize("grads", [(3.0, 0.0), (0.1, 0.2)], ids=["clipped", "small enough"])
def test_a_clipped_step_equals_a_step_with_clipped_gradients(tiny_config, grads) -> None:
    ours, norm, is_taken = step_of(tiny_config, by_hand=False, grads=grads)
    theirs, *_ = step_of(tiny_config, by_hand=True, grads=grads)
    assert is_taken
    assert norm.item() == pytest.approx((4 * grads[0] ** 2 + 2 * grads[1] ** 2) ** 0.5)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    assert ours[0][0, 0] == pytest.approx(0.75, abs=1e-3)  # the first step is the rate


@pytest.mark.parametrize(
    ("grad", "loss"), [(float("nan"), 1.0), (float("inf"), 1.0), (3.0, float("inf"))]
)
def test_non_finite_gradients_or_losses_skip_the_step(
    tiny_config, grad: float, loss: float
) -> None:
    after, _, is_taken = step_of(tiny_config, by_hand=False, grads=(grad, 0.5), loss=loss)
    assert not is_taken
    assert after[0].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert after[1].tolist() == [2.0, 2.0]
    assert not any(value.any() for value in after[2:])


@pytest.mark.parametrize("is_declared", [True, False])
def test_only_a_step_configured_for_capture_is_capturable(
    tiny_config, monkeypatch: pytest.MonkeyPatch, is_declared: bool
) -> None:
    stream = SimpleNamespace(is_capturing=lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda: stream)
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda *_, **__: torch.device("cuda")
    )
    # PyTorch 2.11 calls these instead.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    layer = torch.nn.Linear(2, 2)
    optimizer = build_optimizer(layer, tiny_config(capture_step=is_declared).training)
    layer.weight.grad = torch.ones(2, 2)
    if is_declared:
        optimizer.step()
        assert optimizer.state[layer.weight]["step"] == 1
    else:
        with pytest.raises(RuntimeError, match="capturable is False"):
            optimizer.step()
