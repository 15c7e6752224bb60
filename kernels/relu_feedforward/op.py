"""Two linear layers with ReLU and dropout between them, and their gradient.

One function, because autograd would pass over the hidden activations and the weights several times
more: here one pass rounds, scales and pads the weights, and one pass per direction applies ReLU,
dropout and the bias or its gradient.

Letters: N tokens, D d_model, F d_ff, W d_ff padded to a multiple of 16.
"""

from typing import Any

import torch
from torch import Tensor

from switchhead_kernels.autocast import compute_dtype, without_autocast
from switchhead_kernels.relu_feedforward.fused import convert_rows, relu_dropout_, relu_gradient_

# Matmuls are much faster at multiples of 16 than at widths that matching gives, such as 2053.
WIDTH_MULTIPLE = 16


def relu_feedforward(
    x_ND: Tensor,
    up_weight_FD: Tensor,
    up_bias_F: Tensor,
    down_weight_DF: Tensor,
    down_bias_D: Tensor,
    p_dropout: float,
) -> Tensor:
    """Return `dropout(ReLU(x W_up^T + b_up)) W_down^T + b_down`.

    Matmuls use the dtype that autocast would choose.

    Args:
        x_ND: Shape [N, D].
        up_weight_FD: Shape [F, D].
        up_bias_F: Shape [F].
        down_weight_DF: Shape [D, F].
        down_bias_D: Shape [D].
        p_dropout: Probability with which a hidden channel is dropped, 0 <= p < 1.

    Returns:
        Shape [N, D].
    """
    # Drawn from PyTorch's generator, so that it depends on the seed of the step.
    seed = int(torch.randint(2**63 - 1, ())) if p_dropout > 0.0 and x_ND.device.type == "cpu" else 0
    out: Tensor = _ReluFeedForward.apply(
        x_ND, up_weight_FD, up_bias_F, down_weight_DF, down_bias_D, p_dropout, seed
    )
    return out


class _ReluFeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        up_weight_FD: Tensor,
        up_bias_F: Tensor,
        down_weight_DF: Tensor,
        down_bias_D: Tensor,
        p_dropout: float,
        seed: int,
    ) -> Tensor:
        dtype, n_more = compute_dtype(x_ND), -up_weight_FD.shape[0] % WIDTH_MULTIPLE
        # Dropout's scale is applied where that is cheapest: to the weights after it.
        scale = 1.0 / (1.0 - p_dropout)
        x_ND = x_ND.to(dtype)
        up_WD, up_bias_W = _converted(up_weight_FD, dtype), up_bias_F
        if n_more:
            up_WD = torch.cat([up_WD, up_WD.new_zeros(n_more, up_WD.shape[1])])
            up_bias_W = torch.cat([up_bias_F, up_bias_F.new_zeros(n_more)])
        down_DW = _converted(down_weight_DF, dtype, n_more, scale)
        with without_autocast(x_ND):
            # The fused pass adds the bias, which a matmul would first copy to every row.
            hidden_NW = torch.mm(x_ND, up_WD.T)
            relu_dropout_(hidden_NW, p_dropout, seed, up_bias_W)
            output_ND = torch.addmm(_converted(down_bias_D, dtype), hidden_NW, down_DW.T)
        ctx.save_for_backward(x_ND, up_WD, hidden_NW, down_DW)
        ctx.d_ff, ctx.scale, ctx.dtypes = len(up_bias_F), scale, (up_weight_FD.dtype, dtype)
        return output_ND

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, up_WD, hidden_NW, down_DW = ctx.saved_tensors
        F, (weight_dtype, dtype) = ctx.d_ff, ctx.dtypes
        grad_ND = grad_ND.to(dtype)
        with without_autocast(x_ND):
            grad_down_DW = grad_ND.T @ hidden_NW
            grad_hidden_NW = grad_ND @ down_DW
            grad_up_bias_W = relu_gradient_(grad_hidden_NW, hidden_NW)
            grad_up_WD = grad_hidden_NW.T @ x_ND
            grad_x_ND = grad_hidden_NW @ up_WD
            grad_down_bias_D = grad_ND.sum(dim=0, dtype=weight_dtype)
        grad_down_DF = grad_down_DW[:, :F].to(weight_dtype)
        if ctx.scale != 1.0:
            grad_down_DF = grad_down_DF * ctx.scale
        return (
            grad_x_ND,
            grad_up_WD[:F].to(weight_dtype),
            grad_up_bias_W[:F].to(weight_dtype),
            grad_down_DF,
            grad_down_bias_D,
            None,
            None,
        )


def _converted(x: Tensor, dtype: torch.dtype, n_more: int = 0, scale: float = 1.0) -> Tensor:
    """Return a vector or matrix in another dtype, scaled and padded; itself if nothing changes."""
    if x.dtype == dtype and not n_more and scale == 1.0:
        return x
    if x.dim() == 1:
        return x.to(dtype)
    return convert_rows(x, dtype, x.shape[1] + n_more, scale)
