import pytest
import torch

from switchhead_kernels.rowwise import relu_dropout_
from switchhead_lab.config.architecture import DenseFeedForward
from switchhead_lab.model.feedforward import DenseFeedForwardBlock


def draw_mask(shape: torch.Size, p: float, seed: int) -> torch.Tensor:
    return relu_dropout_(torch.ones(1, *shape), p, seed)[0] == 0


def drawn(p: float, seed: int = 7, n: int = 200_001) -> torch.Tensor:
    return draw_mask(torch.Size([n]), p, seed)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_independence(p: float) -> None:
    dropped = drawn(p).double()
    assert abs(dropped.mean().item() - p) < 4 * (p * (1 - p) / len(dropped)) ** 0.5 + 1e-5
    # Neighbours share a draw.
    by_draw = dropped[: len(dropped) // 4 * 4].view(-1, 4)
    for other in range(1, 4):
        both = (by_draw[:, 0] * by_draw[:, other]).mean().item()
        assert abs(both - p * p) < 4 * (p * p * (1 - p * p) / len(by_draw)) ** 0.5


def test_equal_seeds_give_equal_masks_and_others_do_not() -> None:
    assert torch.equal(drawn(0.3), drawn(0.3))
    assert not torch.equal(drawn(0.3), drawn(0.3, seed=8))
    # Neighbouring seeds are as good as any.
    both = (drawn(0.5, seed=1) & drawn(0.5, seed=2)).double().mean().item()
    assert abs(both - 0.25) < 0.005


def test_a_feed_forward_block_keeps_its_mean() -> None:
    """What is kept is scaled up in the weights, so dropout changes no expectation."""
    block = DenseFeedForwardBlock(DenseFeedForward(d_ff=4000, p_dropout=0.25), 2)
    block.reset_parameters(1.0, torch.Generator().manual_seed(0))
    with torch.no_grad():
        block.down.weight.fill_(1.0)
        x = torch.randn(64, 3, 2, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(0)
        dropped, kept = block.train()(x, None).output_BTD, block.eval()(x, None).output_BTD
    assert not torch.equal(dropped, kept)
    assert abs(dropped.mean() / kept.mean() - 1) < 0.01
