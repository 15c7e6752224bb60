"""The fused passes of attention against a loop over queries."""

import pytest
import torch
from comparison import randn

from switchhead_kernels.relative_attention import shift_to_keys
from switchhead_kernels.relative_attention.fused import (
    channels_last,
    has_relative_softmax,
    relative_softmax_,
    relative_softmax_gradient_,
)

TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 8e-3}
H, B = 2, 3


def masks(kind: str, n_queries: int, n_keys: int, dtype: torch.dtype) -> torch.Tensor | None:
    """Return a mask, 0 or -inf, in which every query sees a key."""
    hidden = float("-inf")
    future = torch.full((n_queries, n_keys), hidden).triu_(n_keys - n_queries + 1)
    padding = torch.zeros(B, 1, n_keys)
    padding[1, :, -1:] = padding[2, :, -n_keys // 2 :] = hidden
    made = {"none": None, "future": future, "padding": padding, "both": padding + future}[kind]
    return None if made is None else made.to(dtype)


def by_hand(content, by_distance, mask) -> torch.Tensor:
    """Return weights in float64; query i's key j is at distance column T - 1 - i + j."""
    X, T, S = content.shape
    weights = torch.zeros(X, T, S, dtype=torch.float64)
    for x in range(X):
        for i in range(T):
            of_row = None
            if mask is not None:
                of_row = mask[i] if mask.dim() == 2 else mask[x % B, i if mask.shape[1] > 1 else 0]
            seen = [j for j in range(S) if of_row is None or of_row[j] == 0]
            columns = [T - 1 - i + j for j in seen]
            scores = content[x, i, seen].double() + by_distance[x, i, columns].double()
            weights[x, i, seen] = scores.softmax(dim=0)
    return weights


def problem(kind: str, T: int, S: int, dtype: torch.dtype) -> list[torch.Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    # Without a mask distances up to T - 1 occur; a causal table ends with 1.
    width = S + T if kind in ("none", "padding") else S + 1
    content = 2 * torch.randn(H * B, T, S, generator=generator)
    by_distance = 2 * torch.randn(H * B, T, width, generator=generator)
    return [content.to(dtype), by_distance.to(dtype), masks(kind, T, S, dtype)]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (7, 19), (9, 64)])
@pytest.mark.parametrize("kind", ["none", "future", "padding", "both"])
def test_weights(kind: str, shape: tuple[int, int], dtype: torch.dtype) -> None:
    if kind in ("padding", "both") and shape == (1, 1):
        return  # no key would be visible
    content, by_distance, mask = problem(kind, *shape, dtype)
    expected = by_hand(content, by_distance, mask)
    ours = relative_softmax_(content, by_distance, mask, B)
    assert ours is content
    assert (ours.double() - expected).norm() <= TOLERANCE[dtype] * expected.norm()


@pytest.mark.parametrize(("n_queries", "n_keys"), [(7, 19), (9, 64)])
def test_masked_scores_may_be_anything(n_queries: int, n_keys: int) -> None:
    """In whole vectors and in the tail."""
    content, by_distance, mask = problem("future", n_queries, n_keys, torch.float32)
    expected = by_hand(content, by_distance, mask)
    content[:, 0, -1] = float("nan")
    content[:, 2, -3] = float("inf")
    ours = relative_softmax_(content, by_distance, mask, B)
    assert (ours.double() - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", ["none", "future"])
def test_gradient_by_key_and_by_distance(kind: str, dtype: torch.dtype) -> None:
    T, S = 7, 19
    content, by_distance, mask = problem(kind, T, S, dtype)
    width = by_distance.shape[2]
    weight = relative_softmax_(content, by_distance, mask, B)
    grad = torch.randn(H * B, T, S, generator=torch.Generator().manual_seed(1)).to(dtype)
    exact = weight.double() * (
        grad.double() - (grad.double() * weight.double()).sum(dim=-1, keepdim=True)
    )
    moved = relative_softmax_gradient_(grad, weight, width)
    assert (grad.double() - exact).norm() <= TOLERANCE[dtype] * exact.norm()
    expected = torch.zeros(H * B, T, width, dtype=dtype)
    for i in range(T):
        n = min(S, width - (T - 1 - i))
        expected[:, i, T - 1 - i : T - 1 - i + n] = grad[:, i, :n]
    assert torch.equal(moved, expected)


def test_supported_devices_and_dtypes() -> None:
    assert has_relative_softmax(torch.zeros(1, 2, 3))
    assert not has_relative_softmax(torch.zeros(1, 2, 3, dtype=torch.float64))
    assert not has_relative_softmax(torch.zeros(1, 2, 3, device="meta"))


def test_shift_moves_every_distance_to_its_key() -> None:
    T, S = 3, 5
    for last, n_seen in ((1, S - T + 1), (T, S)):  # causal, bidirectional
        distances = torch.arange(-(S - 1), last + 1)
        shifted = shift_to_keys(distances.expand(2, T, -1).contiguous(), S)
        for query in range(T):
            for key in range(min(S, n_seen + query)):
                assert shifted[1, query, key] == key - (S - T + query)


def test_shift_is_a_view() -> None:
    by_distance = torch.zeros(1, 3, 6)
    assert shift_to_keys(by_distance, 5).data_ptr() == by_distance[0, 0, 2].data_ptr()


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 16, 32), (3, 2, 41, 19), (1, 4, 5, 100)])
def test_channels_last(dtype: torch.dtype, shape: tuple[int, int, int, int]) -> None:
    x = randn(*shape, dtype=dtype)
    ours = channels_last(x)
    assert torch.equal(ours, x.transpose(2, 3))
    assert ours.permute(1, 2, 0, 3).is_contiguous()
    apart = x.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(channels_last(apart), ours)
