"""Linear layers of few outputs against matmuls in float64."""

import pytest
import torch

from switchhead_kernels.narrow_linear import narrow_linear

pytestmark = pytest.mark.usefixtures("by_kernels")


def problem(N: int, D: int, O: int) -> list[torch.Tensor]:  # noqa: E741
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in ((N, D), (O, D), (N, O))]


def results(x, weight, grad) -> list[torch.Tensor]:
    inputs = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
    out = narrow_linear(*inputs)
    return [out.detach(), *torch.autograd.grad(out, inputs, grad)]


SIZES = [
    (1, 1, 1),
    (5, 16, 8),
    (127, 37, 3),
    (300, 412, 10),
    (129, 64, 17),
    (40, 128, 64),
    (40, 33, 65),
    (0, 8, 4),
]


# C++ supports float32 only.
@pytest.mark.parametrize(
    ("N", "D", "O", "dtype"),
    [*((*sizes, torch.float32) for sizes in SIZES), (127, 37, 3, torch.float64)],
    ids=str,
)
def test_value_and_gradients(N: int, D: int, O: int, dtype: torch.dtype) -> None:  # noqa: E741
    x, weight, grad = problem(N, D, O)
    ours = results(x.to(dtype), weight.to(dtype), grad.to(dtype))
    exact = [made.double() for made in (x, weight, grad)]
    theirs = [exact[0] @ exact[1].T, exact[2] @ exact[1], exact[2].T @ exact[0]]
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        assert a.shape == b.shape
        assert (a - b).norm() <= (2e-6 if dtype == torch.float32 else 1e-12) * b.norm()


@pytest.mark.parametrize("which", range(3))
def test_non_contiguous_operands(which: int) -> None:
    given = problem(50, 24, 6)
    expected = results(*given)
    given[which] = given[which].T.contiguous().T
    for a, b in zip(results(*given), expected, strict=True):
        torch.testing.assert_close(a, b)


def test_results_do_not_depend_on_the_number_of_threads(by_kernels: bool) -> None:
    if not by_kernels:
        return
    given, before = problem(700, 100, 10), torch.get_num_threads()
    made = []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            made.append(results(*given))
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        assert all(torch.equal(a, b) for a, b in zip(made[0], other, strict=True))
