"""The rotation of queries and keys by position: values and gradients against the definition."""

import pytest
import torch
from comparison import assert_near, randn

from switchhead_kernels.rotation import reference, rotate

H, B, L = 2, 3, 5


def table_of(n_rotated: int, dtype: torch.dtype) -> torch.Tensor:
    angle = randn(L, n_rotated // 2, dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin()]).to(dtype)


def values_and_gradient(
    x_BLX: torch.Tensor, table: torch.Tensor, grad_HBLP: torch.Tensor, rotate
) -> list[torch.Tensor]:
    """Rotate heads that lie beside each other, as a linear layer returns them."""
    x_BLX = x_BLX.detach().requires_grad_()
    out_HBLP = rotate(x_BLX.unflatten(-1, (H, -1)).movedim(-2, 0), table)
    return [out_HBLP, *torch.autograd.grad(out_HBLP, x_BLX, grad_HBLP)]


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("P", "n_rotated"), [(1, 0), (2, 2), (7, 6), (41, 20), (103, 102)])
def test_values_and_gradient_are_those_of_the_definition(
    P: int, n_rotated: int, dtype: torch.dtype, is_transposed: bool
) -> None:
    x_BLX, table = randn(B, L, H * P, dtype=dtype), table_of(n_rotated, dtype)
    grad_HBLP = randn(H, B, L, P, dtype=dtype)
    if is_transposed:
        grad_HBLP = grad_HBLP.transpose(2, 3).contiguous().transpose(2, 3)
    found = values_and_gradient(x_BLX, table, grad_HBLP, rotate)
    doubled = (x_BLX.double(), table.double(), grad_HBLP.double())
    expected = values_and_gradient(*doubled, reference.rotate)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        assert_near(ours, theirs, dtype)


@pytest.mark.usefixtures("by_kernels")
def test_the_last_positions_of_a_table_rotate_queries() -> None:
    x_HBLP, table = randn(H, B, L, 6, dtype=torch.float32), table_of(6, torch.float32)
    queries = rotate(x_HBLP[:, :, -2:], table[:, -2:])
    torch.testing.assert_close(queries, rotate(x_HBLP, table)[:, :, -2:])


def test_other_dtypes_of_the_table_are_taken() -> None:
    x_HBLP, table = randn(H, B, L, 6, dtype=torch.float32), table_of(6, torch.float64)
    assert torch.equal(rotate(x_HBLP, table), reference.rotate(x_HBLP, table))
