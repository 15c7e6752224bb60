"""Causal attention in blocks: values and gradients against the definition."""

import pytest
import torch

from switchhead_kernels.causal_attention import attend_causal, reference
from switchhead_kernels.causal_attention.op import _blocks

# Queries, keys: one block, blocks of 64, an incomplete last block, quarters, memory.
SIZES = [(1, 1), (1, 9), (5, 5), (63, 63), (64, 128), (130, 130), (300, 300), (257, 512)]


def inputs_of(T: int, S: int, dtype: torch.dtype, P: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(T + S)
    H, B = 2, 3
    return [
        torch.randn(H, B, n, P, dtype=dtype, generator=generator).requires_grad_()
        for n in (T, S, S)
    ]


def values_and_gradients(attend, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    out = attend(*inputs)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(out.shape, dtype=torch.float64, generator=generator).to(out.dtype)
    return [out, *torch.autograd.grad(out, inputs, grad)]


def by_definition(*inputs: torch.Tensor) -> torch.Tensor:
    out = reference.attend(*(x.flatten(0, 1) for x in inputs))
    return out.view(inputs[0].shape)


@pytest.mark.parametrize(("T", "S"), SIZES)
def test_values_and_gradients_are_those_of_the_definition(T: int, S: int) -> None:
    inputs = inputs_of(T, S, torch.float64)
    found = values_and_gradients(attend_causal, inputs)
    expected = values_and_gradients(by_definition, inputs)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize(("T", "S"), [(300, 300), (257, 512)])
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
