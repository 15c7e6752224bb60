import math

import pytest
import torch

from switchhead_lab.training.optimisation import build_optimizer, clip_gradients, learning_rate


def test_schedule_warms_up_and_falls_along_a_cosine(tiny_config) -> None:
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


def test_clipping_scales_all_gradients_together() -> None:
    layer = torch.nn.Linear(2, 2)
    layer.weight.grad = torch.full((2, 2), 3.0)
    layer.bias.grad = torch.zeros(2)
    assert clip_gradients(layer, 0.6).item() == pytest.approx(6.0)
    torch.testing.assert_close(layer.weight.grad, torch.full((2, 2), 0.3))
