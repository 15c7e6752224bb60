"""Initialisation: one policy for every variant.

Weights are normal with std 1/sqrt(fan_in), times sqrt(2 / n_layers) inside the blocks.
Biases are zero.

Source: SwitchHead (arXiv:2312.07987), experiment code.
"""

import math

import torch
from torch import Tensor


def block_scale(n_layers: int) -> float:
    """Return the factor on the std of weights inside the blocks, sqrt(2 / n_layers)."""
    return math.sqrt(2.0 / n_layers)


@torch.no_grad()
def init_normal(weight: Tensor, fan_in: int, scale: float, generator: torch.Generator) -> None:
    """Fill a weight with N(0, scale^2 / fan_in)."""
    weight.normal_(0.0, scale / math.sqrt(fan_in), generator=generator)


@torch.no_grad()
def init_router(weight: Tensor, scale: float, generator: torch.Generator) -> None:
    """Fill a router [rows, D] with rows of equal norm and the usual overall std.

    Equal norms give experts equal chances at initialisation.
    """
    init_normal(weight, weight.shape[-1], scale, generator)
    std = weight.std()
    weight.div_(weight.norm(dim=-1, keepdim=True))
    weight.mul_(std / weight.std())
