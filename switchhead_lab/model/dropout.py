"""Random draws of dropout."""

import numpy as np
import torch
from torch import Tensor

# Values of a 16-bit number: p is met to within 1 / 131072.
_N_LEVELS = 1 << 16


def draw_levels(shape: torch.Size, p: float, device: torch.device) -> tuple[Tensor | None, int]:
    """Draw a level for each element, from the library's generator; those below are dropped.

    On a CPU that generator is serial and slow: drawing a number for each element takes as long as
    the products of a feed-forward block. There it only seeds a fast one (SFC64, whose numbers NumPy
    guarantees), and one of its draws serves four elements.

    Args:
        shape: Shape of what dropout is applied to.
        p: Probability with which a level is below the threshold, 0 <= p < 1.
        device: Where the levels are wanted.

    Returns:
        Levels, int16 of that shape, and the threshold; None and a threshold for p = 0.
    """
    threshold = round(p * _N_LEVELS) - _N_LEVELS // 2
    if p == 0.0:
        return None, threshold
    if device.type != "cpu":
        low, high = -_N_LEVELS // 2, _N_LEVELS // 2
        return torch.randint(low, high, shape, dtype=torch.int16, device=device), threshold
    n = shape.numel()
    seed = int(torch.randint(2**63 - 1, ()))
    draws = torch.from_numpy(np.random.SFC64(seed).random_raw(-(-n // 4)))
    return draws.view(torch.int16)[:n].view(shape), threshold
