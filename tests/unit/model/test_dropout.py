import pytest
import torch

from switchhead_lab.model.dropout import dropout


def drop(p: float, seed: int = 0, n: int = 200_001) -> torch.Tensor:
    torch.manual_seed(seed)
    return dropout(torch.ones(n), p, training=True)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_scale(p: float) -> None:
    out = drop(p)
    kept = out != 0
    assert torch.equal(out[kept], torch.full_like(out[kept], 1 / (1 - p)))
    share = 1 - kept.double().mean().item()
    assert abs(share - p) < 4 * (p * (1 - p) / len(out)) ** 0.5 + 1e-5
    # Neighbours, which share a draw, are dropped independently.
    dropped = (~kept)[: len(out) // 4 * 4].view(-1, 4).double()
    for other in range(1, 4):
        both = (dropped[:, 0] * dropped[:, other]).mean().item()
        assert abs(both - p * p) < 4 * (p * p * (1 - p * p) / len(dropped)) ** 0.5


def test_equal_seeds_give_equal_masks_and_others_do_not() -> None:
    assert torch.equal(drop(0.3), drop(0.3))
    assert not torch.equal(drop(0.3), drop(0.3, seed=1))
    torch.manual_seed(0)
    first = dropout(torch.ones(1000), 0.3, training=True)
    assert not torch.equal(first, dropout(torch.ones(1000), 0.3, training=True))


def test_gradient_passes_where_the_value_does() -> None:
    x = torch.randn(7, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    out = dropout(x, 0.4, training=True)
    (grad,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(out, x.detach() * grad)


def test_nothing_happens_out_of_training_or_at_zero() -> None:
    x = torch.randn(5)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
