"""Dropout whose random numbers do not cost more than the layer around it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Values of a 16-bit number: p is met to within 1 / 131072.
_N_LEVELS = 1 << 16


def dropout(x: Tensor, p: float, *, training: bool) -> Tensor:
    """Set each element to zero with probability `p` and scale the others by 1 / (1 - p).

    On a CPU the library's dropout draws one number per element from a slow serial generator, which
    takes as long as the products of a feed-forward block. Here the library's generator only seeds a
    fast one (SFC64, whose numbers NumPy guarantees), and one of its draws serves four elements.

    Args:
        x: Any shape, any float dtype.
        p: Probability, 0 <= p < 1.
        training: Whether to drop anything at all.
    """
    if not training or p == 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, p)
    n = x.numel()
    seed = int(torch.randint(2**63 - 1, ()))
    draws = torch.from_numpy(np.random.SFC64(seed).random_raw(-(-n // 4)))
    level = draws.view(torch.int16)[:n].view(x.shape)
    is_kept = level >= round(p * _N_LEVELS) - _N_LEVELS // 2
    return x * is_kept.to(x.dtype).mul_(1.0 / (1.0 - p))
