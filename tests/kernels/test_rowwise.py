"""Each pass against the same by PyTorch's operators, whether the CPU kernels are there or not."""

import itertools
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from switchhead_kernels import rowwise
from switchhead_kernels.native import library

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-2}
IGNORE = -100


pytestmark = pytest.mark.usefixtures("by_kernels")


def randn(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def assert_near(ours: torch.Tensor, theirs: torch.Tensor, dtype: torch.dtype) -> None:
    error = (ours.double() - theirs.double()).norm() / theirs.double().norm().clamp_min(1e-30)
    assert error < TOLERANCE[dtype]


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
    untouched = rowwise.cross_entropy_(logits.clone(), target, IGNORE, bias)
    ours = rowwise.cross_entropy_(logits, target, IGNORE, bias, sums)
    assert ours.dtype == fine
    assert untouched == ours
    assert float(ours) == pytest.approx(loss.item(), rel=TOLERANCE[fine])
    assert_near(logits, gradient, dtype)
    torch.testing.assert_close(sums.double() - 1, gradient.sum(dim=0), rtol=1e-4, atol=2e-5)


def test_a_target_outside_of_the_vocabulary_is_an_error() -> None:
    with pytest.raises((IndexError, RuntimeError), match="out of|outside"):
        rowwise.cross_entropy_(torch.zeros(2, 3), torch.tensor([0, 3]), IGNORE)


def test_large_logits_do_not_overflow_and_nan_is_not_hidden() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0] * 9])
    assert rowwise.cross_entropy_(logits.clone(), torch.tensor([1]), IGNORE) == pytest.approx(
        2e4 + torch.tensor(9.0).log().item()
    )
    for place in (0, 26):
        broken = logits.clone()
        broken[0, place] = float("nan")
        assert rowwise.cross_entropy_(broken, torch.tensor([1]), IGNORE).isnan()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("width", [37, 64])
@pytest.mark.parametrize("p", [0.0, 0.3])
def test_relu_dropout_with_a_bias(dtype: torch.dtype, width: int, p: float) -> None:
    fine = torch.promote_types(dtype, torch.float32)
    hidden, bias = randn(130, width, dtype=dtype), randn(width, dtype=fine)
    expected = rowwise.relu_dropout_((hidden + bias).to(dtype), p, 5)
    assert torch.equal(rowwise.relu_dropout_(hidden, p, 5, bias), expected)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_relu_without_dropout(dtype: torch.dtype) -> None:
    hidden = randn(130, 37, dtype=dtype)
    expected = hidden.relu()
    ours = rowwise.relu_dropout_(hidden, 0.0)
    assert ours is hidden
    assert torch.equal(ours, expected)
    hidden[3, 3] = hidden[129, 36] = float("nan")
    assert rowwise.relu_dropout_(hidden, 0.0)[[3, 129], [3, 36]].isnan().all()


def splitmix64(seed: int) -> Iterator[int]:
    """Return the outputs of the generator, written from its definition."""
    mask = 2**64 - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = ((seed ^ seed >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        yield z ^ z >> 31


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_dropout_is_that_of_the_generator(dtype: torch.dtype, seed: int) -> None:
    """At any type, by the kernels or not: results must not depend on where they are computed."""
    p, hidden = 0.3, randn(101, 43, dtype=dtype)
    draws = itertools.islice(splitmix64(seed), -(-hidden.numel() // 4))
    levels = [z >> 16 * part & 0xFFFF for z in draws for part in range(4)][: hidden.numel()]
    dropped = torch.tensor(levels).view(hidden.shape) < round(p * 65536)
    expected = hidden.relu().masked_fill(dropped, 0.0)
    assert torch.equal(rowwise.relu_dropout_(hidden, p, seed), expected)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_relu_gradient(dtype: torch.dtype) -> None:
    hidden, grad = randn(130, 37, dtype=dtype).relu(), randn(37, 130, dtype=dtype).T.contiguous()
    expected = grad.masked_fill(hidden == 0, 0.0)
    sums = rowwise.relu_gradient_(grad, hidden)
    assert torch.equal(grad, expected)
    assert sums.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(sums.double(), expected.double().sum(dim=0), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("is_contiguous", [True, False])
def test_convert_rows(dtype: torch.dtype, is_contiguous: bool) -> None:
    weight = randn(37, 11, dtype=torch.float32)
    weight = weight if is_contiguous else weight.T.contiguous().T
    expected = F.pad((weight * 1.25).to(dtype), (0, 5))
    assert torch.equal(rowwise.convert_rows(weight, dtype, 16, 1.25), expected)
    assert torch.equal(rowwise.convert_rows(weight, dtype), weight.to(dtype))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_largest_indices_with_ties_to_the_lower_index(k: int) -> None:
    scores = torch.randint(0, 3, (40, 2, 5), generator=torch.Generator().manual_seed(0)).float()
    scores[0, 0] = float("-inf")
    expected = [
        sorted(range(5), key=lambda e: (-row[e], e))[:k] for row in scores.flatten(0, 1).tolist()
    ]
    for given in (scores, scores.double()):
        found = rowwise.largest_indices(given, k)
        assert found.dtype == torch.int64
        assert found.flatten(0, 1).tolist() == expected


@pytest.mark.parametrize("n_experts", [1, 3, 8, 9, 32, 33, 128, 129])
def test_largest_indices_of_any_number_of_experts(n_experts: int) -> None:
    scores = randn(50, n_experts, dtype=torch.float32)
    odd = torch.tensor([float("inf"), -float("inf"), 0.0, -0.0, float("nan"), -float("nan"), 1e-40])
    place = torch.randint(len(odd), (50, n_experts), generator=torch.Generator().manual_seed(2))
    scores[25:] = odd[place[25:]]
    k = min(n_experts, 5)
    expected = scores.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    assert torch.equal(rowwise.largest_indices(scores, k), expected)


@pytest.mark.parametrize("exact_dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("rounded_dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 7, 3, 37), (3, 8, 8, 16), (2, 5, 2, 100)])
def test_add_by_position(
    exact_dtype: torch.dtype, rounded_dtype: torch.dtype, sizes: tuple[int, int, int, int]
) -> None:
    B, S, T, D = sizes
    kinds = (exact_dtype, exact_dtype, rounded_dtype, rounded_dtype)
    made = [randn(B, n, D, dtype=kind) for n, kind in zip((S, T, S, T), kinds, strict=True)]
    for is_there in itertools.product([False, True], repeat=4):
        given = [part if there else None for part, there in zip(made, is_there, strict=True)]
        total = rowwise.add_by_position(given[:2], given[2:], (B, S, D))
        if not any(is_there):
            assert total is None
            continue
        assert total is not None
        expected = torch.zeros(B, S, D, dtype=torch.float64)
        for part in given:
            if part is not None:
                expected[:, S - part.shape[1] :] += part
        assert_near(total, expected, torch.float32)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 16, 32), (3, 2, 41, 19), (1, 4, 5, 100)])
def test_channels_last(dtype: torch.dtype, shape: tuple[int, int, int, int]) -> None:
    x = randn(*shape, dtype=dtype)
    ours = rowwise.channels_last(x)
    assert torch.equal(ours, x.transpose(2, 3))
    assert ours.permute(1, 2, 0, 3).is_contiguous()
    apart = x.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(rowwise.channels_last(apart), ours)


def test_results_do_not_depend_on_the_number_of_threads(by_kernels: bool) -> None:
    if not by_kernels:
        return
    target = torch.randint(0, 37, (300,), generator=torch.Generator().manual_seed(1))

    def everything(n_threads: int) -> list[torch.Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(n_threads)
        try:
            logits, sums = randn(300, 37, dtype=torch.bfloat16), torch.zeros(37)
            loss = rowwise.cross_entropy_(logits, target, IGNORE, None, sums)
            grad = randn(300, 37, dtype=torch.bfloat16)
            return [loss, logits, sums, rowwise.relu_gradient_(grad, logits.relu()), grad]
        finally:
            torch.set_num_threads(before)

    for one, two in zip(everything(1), everything(2), strict=True):
        assert torch.equal(one, two)


def test_kernels_are_used_where_they_can_be(by_kernels: bool) -> None:
    assert library.is_usable(torch.ones(2, 3)) == by_kernels
    assert not library.is_usable(torch.ones(2, 3).T)
    assert not library.is_usable(torch.ones(2, 3, device="meta"))
