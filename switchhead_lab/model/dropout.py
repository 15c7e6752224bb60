"""ReLU and dropout in one pass over the hidden activations, in place.

What was dropped or negative is zero afterwards and what was neither is not, so the result alone
tells the gradient where to pass: nothing else is kept.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

# Values of a 16-bit number: p is met to within 1 / 131072.
_N_LEVELS = 1 << 16


def relu_dropout(hidden: Tensor, p: float) -> Tensor:
    """Set what is negative to zero, and the rest with probability `p`; the input is overwritten.

    What is kept is not scaled by 1 / (1 - p): scale the weights it is multiplied with, which are
    far fewer.

    Args:
        hidden: Any shape, any float dtype; not a view, and needed by nothing else.
        p: Probability, 0 <= p < 1.
    """
    is_dropped = draw_mask(hidden.shape, p, hidden.device) if p > 0.0 else None
    out: Tensor = _ReluDropout.apply(hidden, is_dropped)
    return out


def draw_mask(shape: torch.Size, p: float, device: torch.device) -> Tensor:
    """Draw True with probability `p`, from the library's generator.

    On a CPU that generator is serial and slow: drawing a number for each element takes as long as
    the products of a feed-forward block. There it only seeds a fast one (SFC64, whose numbers NumPy
    guarantees), and one of its draws serves four elements.
    """
    if device.type != "cpu":
        return torch.rand(shape, device=device) < p
    n = shape.numel()
    seed = int(torch.randint(2**63 - 1, ()))
    draws = torch.from_numpy(np.random.SFC64(seed).random_raw(-(-n // 4)))
    level = draws.view(torch.int16)[:n].view(shape)
    return level < round(p * _N_LEVELS) - _N_LEVELS // 2


class _ReluDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, is_dropped: Tensor | None) -> Tensor:
        hidden.clamp_min_(0.0)
        if is_dropped is not None:
            hidden.masked_fill_(is_dropped, 0.0)
        ctx.mark_dirty(hidden)
        ctx.save_for_backward(hidden)
        return hidden

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (hidden,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad, hidden, 0), None
