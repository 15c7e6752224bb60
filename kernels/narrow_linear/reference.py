"""The definition of a linear layer without bias and of its gradients.

Letters: N rows, D width, O outputs.
"""

from torch import Tensor


def forward(x_ND: Tensor, weight_OD: Tensor) -> Tensor:
    """Return `x W^T`, shape [N, O]."""
    return x_ND @ weight_OD.T


def backward(grad_NO: Tensor, x_ND: Tensor, weight_OD: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and the weight."""
    return grad_NO @ weight_OD, grad_NO.T @ x_ND
