"""Two linear layers with ReLU and dropout, and their fused passes, against PyTorch's operators."""

import itertools
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from comparison import TOLERANCE, randn

from switchhead_kernels.relu_feedforward import relu_feedforward
from switchhead_kernels.relu_feedforward.fused import convert_rows, relu_dropout_, relu_gradient_
from switchhead_kernels.relu_feedforward.op import WIDTH_MULTIPLE

N, D = 21, 6


def problem(d_ff: int, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((N, D), (d_ff, D), (d_ff,), (D, d_ff), (D,))
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [x.to(dtype).requires_grad_() for x in made]


def by_operators(x, up, up_bias, down, down_bias, p: float) -> torch.Tensor:
    """Apply dropout with the same draws, scaled as usual."""
    hidden = F.linear(x, up, up_bias).relu()
    if p:
        width = len(up_bias) + -len(up_bias) % WIDTH_MULTIPLE
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
def test_under_autocast_matmuls_are_bf16_and_gradients_float32(p: float) -> None:
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


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("width", [37, 64])
@pytest.mark.parametrize("p", [0.0, 0.3])
def test_relu_dropout_with_a_bias(dtype: torch.dtype, width: int, p: float) -> None:
    fine = torch.promote_types(dtype, torch.float32)
    hidden, bias = randn(130, width, dtype=dtype), randn(width, dtype=fine)
    expected = relu_dropout_((hidden + bias).to(dtype), p, 5)
    assert torch.equal(relu_dropout_(hidden, p, 5, bias), expected)


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_relu_without_dropout(dtype: torch.dtype) -> None:
    hidden = randn(130, 37, dtype=dtype)
    expected = hidden.relu()
    ours = relu_dropout_(hidden, 0.0)
    assert ours is hidden
    assert torch.equal(ours, expected)
    hidden[3, 3] = hidden[129, 36] = float("nan")
    assert relu_dropout_(hidden, 0.0)[[3, 129], [3, 36]].isnan().all()


def splitmix64(seed: int) -> Iterator[int]:
    """Yield the outputs of the generator, from its definition."""
    mask = 2**64 - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = ((seed ^ seed >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        yield z ^ z >> 31


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("seed", [0, 2**63 - 1])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_dropout_draws_from_splitmix64(dtype: torch.dtype, seed: int) -> None:
    """In any dtype, with kernels or without: masks must be the same."""
    p, hidden = 0.3, randn(101, 43, dtype=dtype)
    draws = itertools.islice(splitmix64(seed), -(-hidden.numel() // 4))
    levels = [z >> 16 * part & 0xFFFF for z in draws for part in range(4)][: hidden.numel()]
    dropped = torch.tensor(levels).view(hidden.shape) < round(p * 65536)
    expected = hidden.relu().masked_fill(dropped, 0.0)
    assert torch.equal(relu_dropout_(hidden, p, seed), expected)


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_relu_gradient(dtype: torch.dtype) -> None:
    hidden, grad = randn(130, 37, dtype=dtype).relu(), randn(37, 130, dtype=dtype).T.contiguous()
    expected = grad.masked_fill(hidden == 0, 0.0)
    sums = relu_gradient_(grad, hidden)
    assert torch.equal(grad, expected)
    assert sums.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(sums.double(), expected.double().sum(dim=0), rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("is_contiguous", [True, False])
def test_convert_rows(dtype: torch.dtype, is_contiguous: bool) -> None:
    weight = randn(37, 11, dtype=torch.float32)
    weight = weight if is_contiguous else weight.T.contiguous().T
    expected = F.pad((weight * 1.25).to(dtype), (0, 5))
    assert torch.equal(convert_rows(weight, dtype, 16, 1.25), expected)
    assert torch.equal(convert_rows(weight, dtype), weight.to(dtype))


def draw_mask(shape: torch.Size, p: float, seed: int) -> torch.Tensor:
    return relu_dropout_(torch.ones(1, *shape), p, seed)[0] == 0


def drawn(p: float, seed: int = 7, n: int = 200_001) -> torch.Tensor:
    return draw_mask(torch.Size([n]), p, seed)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropped_fraction_and_independence(p: float) -> None:
    dropped = drawn(p).double()
    assert abs(dropped.mean().item() - p) < 4 * (p * (1 - p) / len(dropped)) ** 0.5 + 1e-5
    # Neighbouring elements share a draw.
    by_draw = dropped[: len(dropped) // 4 * 4].view(-1, 4)
    for other in range(1, 4):
        both = (by_draw[:, 0] * by_draw[:, other]).mean().item()
        assert abs(both - p * p) < 4 * (p * p * (1 - p * p) / len(by_draw)) ** 0.5


def test_equal_seeds_give_equal_masks_and_others_do_not() -> None:
    assert torch.equal(drawn(0.3), drawn(0.3))
    assert not torch.equal(drawn(0.3), drawn(0.3, seed=8))
    # Neighbouring seeds must be independent too.
    both = (drawn(0.5, seed=1) & drawn(0.5, seed=2)).double().mean().item()
    assert abs(both - 0.25) < 0.005


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    results = []
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            grad = randn(300, 37, dtype=torch.bfloat16)
            hidden = relu_dropout_(grad.flip(0), 0.3, 5)
            results.append((relu_gradient_(grad, hidden), grad, hidden))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)
