import pytest
import torch
import torch.nn.functional as F

from switchhead_kernels.rowwise import relu_dropout_
from switchhead_lab.model.feedforward import DenseFeedForwardBlock
from switchhead_lab.model.relu_feedforward import relu_feedforward
from switchhead_lab.variants.dense_feedforward import DenseFeedForward

N, D = 21, 6


def problem(d_ff: int, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((N, D), (d_ff, D), (d_ff,), (D, d_ff), (D,))
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [x.to(dtype).requires_grad_() for x in made]


def by_operators(x, up, up_bias, down, down_bias, p: float) -> torch.Tensor:
    """Dropout with the same draws, scaled as usual."""
    hidden = F.linear(x, up, up_bias).relu()
    if p:
        width = len(up_bias) + -len(up_bias) % 16
        kept = relu_dropout_(torch.ones(N, width), p, int(torch.randint(2**63 - 1, ())))
        hidden = hidden * kept[:, : len(up_bias)].to(hidden.dtype) / (1.0 - p)
    return F.linear(hidden, down, down_bias)


@pytest.mark.parametrize("p", [0.0, 0.4])
@pytest.mark.parametrize("d_ff", [32, 37])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str
)
def test_value_and_gradients(d_ff: int, p: float, dtype: torch.dtype, tolerance: float) -> None:
    inputs = problem(d_ff, dtype)
    torch.manual_seed(3)
    ours = relu_feedforward(*inputs, p)
    torch.manual_seed(3)
    theirs = by_operators(*inputs, p)
    grad = torch.randn(N, D, generator=torch.Generator().manual_seed(1)).to(dtype)
    pairs = [(ours, theirs)]
    pairs += zip(
        torch.autograd.grad(ours, inputs, grad),
        torch.autograd.grad(theirs, inputs, grad),
        strict=True,
    )
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * b.abs().max().item())


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_under_autocast_products_are_bf16_and_gradients_float32(p: float) -> None:
    inputs = problem(37, torch.float32)
    results = []
    for function in (relu_feedforward, by_operators):
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16):
            out = function(*inputs, p)
        grads = torch.autograd.grad(out.float().square().sum(), inputs)
        results.append((out, *grads))
    assert results[0][0].dtype == torch.bfloat16
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype in (torch.bfloat16, torch.float32)
        assert (ours - theirs).norm() < 0.02 * theirs.norm()
    assert all(grad.dtype == torch.float32 for grad in results[0][1:])


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
