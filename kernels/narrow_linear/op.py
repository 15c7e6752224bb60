"""Linear layers of few outputs, such as routers, in one pass over the rows per direction on CPUs.

Without CPU kernels and on other devices, PyTorch's matmuls are the fallback, which are slow where
one side is narrow.

Letters: N rows, D width, O outputs.
"""

from typing import Any

import torch
from torch import Tensor

from switchhead_kernels.narrow_linear import reference
from switchhead_kernels.native import library

# Beyond this, PyTorch's matmul is at least as fast.
_MOST_OUTPUTS = 64


def narrow_linear(x_ND: Tensor, weight_OD: Tensor) -> Tensor:
    """Return `x W^T`, differentiable once.

    Args:
        x_ND: Shape [N, D], any float dtype.
        weight_OD: Shape [O, D], same dtype.

    Returns:
        Shape [N, O].
    """
    out: Tensor = _NarrowLinear.apply(x_ND, weight_OD)
    return out


class _NarrowLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_OD: Tensor) -> Tensor:
        ctx.save_for_backward(x_ND, weight_OD)
        if not _has_kernel(x_ND, weight_OD):
            return reference.forward(x_ND, weight_OD)
        sizes = (*x_ND.shape, len(weight_OD))
        out_NO = x_ND.new_empty(len(x_ND), len(weight_OD))
        library.call("narrow_linear_forward", x_ND, weight_OD, *sizes, out_NO)
        return out_NO

    @staticmethod
    def backward(ctx: Any, grad_NO: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weight_OD = ctx.saved_tensors
        if not _has_kernel(x_ND, weight_OD):
            return reference.backward(grad_NO, x_ND, weight_OD)
        sizes = (*x_ND.shape, len(weight_OD))
        grad_x, grad_weight = torch.empty_like(x_ND), torch.empty_like(weight_OD)
        arguments = (grad_NO.contiguous(), x_ND, weight_OD, *sizes, grad_x, grad_weight)
        library.call("narrow_linear_backward", *arguments)
        return grad_x, grad_weight


def _has_kernel(x_ND: Tensor, weight_OD: Tensor) -> bool:
    is_float32 = x_ND.dtype == weight_OD.dtype == torch.float32
    is_narrow = 0 < len(weight_OD) <= _MOST_OUTPUTS
    return is_float32 and is_narrow and len(x_ND) > 0 and library.is_usable(x_ND, weight_OD)
