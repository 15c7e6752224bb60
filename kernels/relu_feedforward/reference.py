"""The definition of the fused passes, in PyTorch operators; arguments as in `fused`.

Letters: N rows, F hidden channels.
"""

import numpy as np
import torch
from torch import Tensor

# Dropout compares 16-bit draws.
N_LEVELS = 1 << 16


def relu_dropout_(hidden_NF: Tensor, threshold: int, seed: int, bias_F: Tensor | None) -> Tensor:
    """Apply bias, ReLU and dropout in place: draws below the threshold are dropped."""
    if bias_F is not None:
        hidden_NF.copy_(hidden_NF + bias_F)
    hidden_NF.clamp_min_(0.0)
    if threshold:
        hidden_NF.masked_fill_(_levels(hidden_NF, seed) < threshold, 0.0)
    return hidden_NF


def _levels(like: Tensor, seed: int) -> Tensor:
    """Return a number in 0..65535 for each element.

    On a CPU the numbers of the CPU kernels: each a quarter of a SplitMix64 output (Steele et al.,
    "Fast splittable pseudorandom number generators", 2014). Elsewhere the device's own.
    """
    if like.device.type != "cpu":
        return torch.randint(N_LEVELS, like.shape, dtype=torch.int32, device=like.device)
    n = like.numel()
    z = np.arange(1, -(-n // 4) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    levels = z.astype("<u8").view("<u2")[:n].astype(np.int32)
    return torch.from_numpy(levels).view(like.shape)


def relu_gradient_(grad_NF: Tensor, hidden_NF: Tensor) -> Tensor:
    """Zero the gradient where the hidden channel is zero; return its sums over rows."""
    fine = torch.promote_types(grad_NF.dtype, torch.float32)
    grad_NF.masked_fill_(hidden_NF == 0.0, 0.0)
    return grad_NF.sum(dim=0, dtype=fine)


def convert_rows(weight: Tensor, converted: Tensor, scale: float) -> Tensor:
    """Write a matrix, scaled and its rows zero-padded, into `converted`; return `converted`."""
    n_columns = weight.shape[1]
    converted[:, :n_columns] = weight * scale
    converted[:, n_columns:].zero_()
    return converted
