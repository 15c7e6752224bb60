"""Causal attention in blocks: values and gradients against the definition."""

import pytest
import torch
from comparison import assert_near, randn

from switchhead_kernels.causal_attention import attend_causal, reference
from switchhead_kernels.causal_attention.fused import causal_softmax_, causal_softmax_gradient_
from switchhead_kernels.causal_attention.op import _blocks

# Queries, keys: one block, blocks of 64, an incomplete last block, quarters, memory.
SIZES = [(1, 1), (1, 9), (5, 5), (63, 63), (64, 128), (130, 130), (300, 300), (257, 512)]
SCALE = 0.7


def inputs_of(T: int, S: int, dtype: torch.dtype, P: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(T + S)
    H, B = 2, 3
    return [
        torch.randn(H, B, n, P, dtype=dtype, generator=generator).requires_grad_()
        for n in (T, S, S)
    ]


def values_and_gradients(attend, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    out = attend(*inputs, SCALE)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(out.shape, dtype=torch.float64, generator=generator).to(out.dtype)
    return [out, *torch.autograd.grad(out, inputs, grad)]


def by_definition(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float = 1.0
) -> torch.Tensor:
    out = reference.attend(*(x.flatten(0, 1) for x in (query, key, value)), scale)
    return out.view(query.shape)


@pytest.mark.parametrize(("T", "S"), SIZES)
def test_values_and_gradients_are_those_of_the_definition(T: int, S: int) -> None:
    inputs = inputs_of(T, S, torch.float64)
    found = values_and_gradients(attend_causal, inputs)
    expected = values_and_gradients(by_definition, inputs)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize(("T", "S"), [(300, 300), (257, 512), (3, 5)])
def test_low_precision_is_close_to_exact(
    T: int, S: int, dtype: torch.dtype, tolerance: float
) -> None:
    query, key, value = (x.detach() for x in inputs_of(T, S, torch.float64, P=41))
    scaled = (query / 41**0.5, key, value)
    inputs = [x.to(dtype).requires_grad_() for x in scaled]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    found = values_and_gradients(attend_causal, inputs)
    expected = values_and_gradients(by_definition, exact)
    for ours, theirs in zip(found, expected, strict=True):
        error = (ours.double() - theirs).square().mean().sqrt()
        assert error <= tolerance * theirs.square().mean().sqrt()


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize(("T", "S"), [(1, 1), (3, 5), (16, 16), (33, 70)])
def test_softmax_and_its_gradient(T: int, S: int, dtype: torch.dtype) -> None:
    scores, grad = randn(4, T, S, dtype=dtype).split(2)
    hidden = torch.ones(T, S, dtype=torch.bool).triu(S - T + 1)
    exact = (scores.double() * SCALE).masked_fill(hidden, -torch.inf).softmax(dim=-1)
    scores[:, hidden] = torch.nan  # keys after a query may have any score
    weight = causal_softmax_(scores, SCALE)
    assert_near(weight, exact, dtype)
    assert not weight[:, hidden].any()
    w, g = weight.double(), grad.double()
    expected = SCALE * w * (g - (w * g).sum(dim=-1, keepdim=True))
    assert_near(causal_softmax_gradient_(grad, weight, SCALE), expected, dtype)


@pytest.mark.parametrize(("T", "S"), SIZES)
def test_blocks_cover_every_query_once_with_the_keys_up_to_its_last(T: int, S: int) -> None:
    blocks = list(_blocks(T, S))
    assert [query for start, stop, _ in blocks for query in range(start, stop)] == list(range(T))
    assert all(n_keys == S - T + stop for _, stop, n_keys in blocks)
    assert len(blocks) <= 4


def test_strided_inputs_work() -> None:
    inputs = [
        x.detach().transpose(0, 1).contiguous().transpose(0, 1)
        for x in inputs_of(70, 70, torch.float64)
    ]
    torch.testing.assert_close(attend_causal(*inputs), by_definition(*inputs))
