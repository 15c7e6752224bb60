"""The auxiliary losses against their formulas."""

import math

import pytest
import torch

from switchhead_lab.model.attention.moa import cv_loss, switch_loss, z_loss
from switchhead_lab.model.feedforward import batch_entropy
from switchhead_lab.model.router import RoutingDecision

LOGITS = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])


def choice(weights=((0.5, 0.2), (0.9, 0.1)), picks=((1, 0), (2, 0))) -> RoutingDecision:
    return RoutingDecision(
        torch.tensor(picks)[:, None], torch.tensor(weights)[:, None], LOGITS[:, None]
    )


def test_cv_loss_is_the_squared_coefficient_of_variation() -> None:
    importance = torch.tensor([0.2 + 0.1, 0.5, 0.9])
    mean = importance.mean()
    expected = ((importance - mean) ** 2).mean() / mean**2
    torch.testing.assert_close(cv_loss(choice()), expected)


def test_switch_loss_is_one_for_even_use() -> None:
    even = RoutingDecision(
        torch.tensor([[[0]], [[1]], [[2]]]), torch.ones(3, 1, 1), torch.zeros(3, 1, 3)
    )
    torch.testing.assert_close(switch_loss(even), torch.tensor(1.0))
    probability = LOGITS.softmax(-1).mean(0)
    fraction = torch.tensor([2, 1, 1]) / 4
    torch.testing.assert_close(switch_loss(choice()), 3 * (probability * fraction).sum())


def test_z_loss_is_the_mean_squared_log_sum_exp() -> None:
    expected = LOGITS.exp().sum(-1).log().square().mean()
    torch.testing.assert_close(z_loss(choice()), expected)


def test_entropy_is_that_of_the_mean_distribution() -> None:
    mean = LOGITS.softmax(-1).mean(0)
    torch.testing.assert_close(batch_entropy(choice()), -(mean * mean.log()).sum())
    even = RoutingDecision(
        torch.zeros(2, 1, 1, dtype=torch.int64), torch.ones(2, 1, 1), LOGITS[:, None] * 0
    )
    assert batch_entropy(even).item() == pytest.approx(math.log(3))
