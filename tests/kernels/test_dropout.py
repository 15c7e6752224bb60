import pytest
import torch

from switchhead_kernels.rowwise import relu_dropout_


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
