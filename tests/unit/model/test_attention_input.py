import pytest
import torch

from switchhead_lab.model.attention_input import attention_input

B, S, D = 2, 7, 5


@pytest.mark.parametrize("n_queries", [3, S])
@pytest.mark.parametrize("used", [(0,), (1,), (0, 1), (2, 3), (0, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("kind", ["float64", "float32", "autocast"])
def test_forms_and_their_gradient(n_queries: int, used: tuple[int, ...], kind: str) -> None:
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
