"""Rotation of queries and keys by their position (RoPE), and its gradient.

On a CPU, one pass each; in PyTorch operators, a rotation takes six, which is a fifteenth of the
training step of a dense model.

Letters: H heads, B sequences, L positions, P d_head, N rotated channels.
"""

from typing import Any

import torch
from torch import Tensor

from switchhead_kernels.native import library
from switchhead_kernels.native.library import SUFFIXES
from switchhead_kernels.rotation import reference


def rotate(x_HBLP: Tensor, table: Tensor) -> Tensor:
    """Rotate each position by its angle: channels c and c + N / 2, for c < N / 2.

    Args:
        x_HBLP: Shape [H, B, L, P], P >= N.
        table: Cosines and sines of the angles, shape [2, L, N / 2], same dtype.

    Returns:
        Shape [H, B, L, P].

    Source: RoFormer (arXiv:2104.09864), Sec. 3.4.2.
    """
    cos, sin = table
    is_fused = (
        x_HBLP.dtype in SUFFIXES
        and x_HBLP.dtype == table.dtype
        and x_HBLP.device.type == "cpu"
        and x_HBLP.stride(-1) == 1
        and library.is_usable(cos, sin)
    )
    if not is_fused:
        return reference.rotate(x_HBLP, table)
    rotated: Tensor = _Rotation.apply(x_HBLP, cos, sin)
    return rotated


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_HBLP: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        # Channels of one head often lie between those of others, as a linear layer returns them.
        ctx.strides = torch.empty_like(x_HBLP, device="meta").stride()
        out = x_HBLP.new_empty(x_HBLP.shape)
        _write(x_HBLP, cos, sin, out, is_backward=False)
        return out

    @staticmethod
    def backward(ctx: Any, grad_HBLP: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        if grad_HBLP.stride(-1) != 1:
            grad_HBLP = grad_HBLP.contiguous()
        grad_x = grad_HBLP.new_empty_strided(grad_HBLP.shape, ctx.strides)
        _write(grad_HBLP, cos, sin, grad_x, is_backward=True)
        return grad_x, None, None


def _write(x: Tensor, cos: Tensor, sin: Tensor, out: Tensor, *, is_backward: bool) -> None:
    """Write the rotation of `x`, or its gradient, which is the rotation back."""
    name = f"rotate_{SUFFIXES[x.dtype]}"
    sizes = (*x.shape, 2 * cos.shape[-1])
    library.call(
        name, x, *x.stride()[:3], cos, sin, *sizes, int(is_backward), out, *out.stride()[:3]
    )
