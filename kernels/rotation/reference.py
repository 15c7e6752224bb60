"""The definition of the rotation, in PyTorch operators."""

import torch
from torch import Tensor


def rotate(x_HBLP: Tensor, table: Tensor) -> Tensor:
    """Rotate the pairs of channels c and c + N / 2 of the first N; others stay as they are."""
    half = table.shape[-1]
    cos, sin = table
    left, right, rest = x_HBLP.split([half, half, x_HBLP.shape[-1] - 2 * half], dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin, rest], dim=-1)
