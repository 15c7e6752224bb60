"""A layer's input, exact and rounded, and the sum of its gradients."""

import itertools

import pytest
import torch
from comparison import assert_near, randn

from switchhead_kernels.attention_input import attention_input
from switchhead_kernels.attention_input.fused import add_by_position

B, S, D = 2, 7, 5


@pytest.mark.parametrize("n_queries", [3, S])
@pytest.mark.parametrize("used", [(0,), (3,), (0, 1, 2, 3)])
@pytest.mark.parametrize("kind", ["float64", "float32", "autocast"])
def test_values_and_their_gradient(n_queries: int, used: tuple[int, ...], kind: str) -> None:
    dtype = torch.float64 if kind == "float64" else torch.float32
    generator = torch.Generator().manual_seed(0)
    context = torch.randn(B, S, D, generator=generator, dtype=dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
        given = attention_input(context, n_queries)
    rounded = context.detach().to(torch.bfloat16 if kind == "autocast" else dtype)
    chunk = slice(S - n_queries, S)
    forms = (context, context[:, chunk], rounded, rounded[:, chunk])
    for ours, theirs in zip(given, forms, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    weights = [torch.randn(form.shape, generator=generator).to(form.dtype) for form in given]
    loss = sum((given[i] * weights[i]).double().sum() for i in used)
    (gradient,) = torch.autograd.grad(loss, context)
    expected = torch.zeros(B, S, D, dtype=torch.float64)
    for i in used:
        expected[:, S - weights[i].shape[1] :] += weights[i]
    assert gradient.dtype == dtype
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("by_kernels")
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
        total = add_by_position(given[:2], given[2:], (B, S, D))
        if not any(is_there):
            assert total is None
            continue
        assert total is not None
        expected = torch.zeros(B, S, D, dtype=torch.float64)
        for part in given:
            if part is not None:
                expected[:, S - part.shape[1] :] += part
        assert_near(total, expected, torch.float32)
