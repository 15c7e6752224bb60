"""The fused passes: bias, ReLU and dropout; their gradient; weights in another dtype.

Functions whose names end in an underscore overwrite their first argument.

Letters: N rows, F hidden channels.
"""

import torch
from torch import Tensor

from switchhead_kernels.native import library
from switchhead_kernels.native.library import SUFFIXES
from switchhead_kernels.relu_feedforward import reference


def relu_dropout_(
    hidden_NF: Tensor, p: float, seed: int = 0, bias_F: Tensor | None = None
) -> Tensor:
    """Apply bias, ReLU and dropout in place; return the input.

    Args:
        hidden_NF: Shape [N, F], any float dtype.
        p: Dropout probability, 0 <= p < 1, accurate to 1 / 131072. Kept elements are not scaled.
        seed: Seed of the draws, in 0..2^63 - 1: equal seeds drop equal elements.
        bias_F: Shape [F], float32 or finer; None for 0.
    """
    threshold = round(p * reference.N_LEVELS)
    if hidden_NF.dtype in SUFFIXES and library.is_usable(hidden_NF):
        name = f"relu_dropout_{SUFFIXES[hidden_NF.dtype]}"
        library.call(name, hidden_NF, bias_F, *hidden_NF.shape, seed, threshold)
        return hidden_NF
    return reference.relu_dropout_(hidden_NF, threshold, seed, bias_F)


def relu_gradient_(grad_NF: Tensor, hidden_NF: Tensor) -> Tensor:
    """Zero the gradient where the hidden channel is zero; return its sums over rows.

    Args:
        grad_NF: Shape [N, F], any float dtype.
        hidden_NF: Same shape and dtype: what `relu_dropout_` wrote.

    Returns:
        Shape [F], float32 or finer.
    """
    fine = torch.promote_types(grad_NF.dtype, torch.float32)
    if grad_NF.dtype in SUFFIXES and library.is_usable(grad_NF, hidden_NF):
        sums = grad_NF.new_empty(grad_NF.shape[1], dtype=fine)
        name = f"relu_gradient_{SUFFIXES[grad_NF.dtype]}"
        library.call(name, hidden_NF, grad_NF, *grad_NF.shape, sums)
        return sums
    return reference.relu_gradient_(grad_NF, hidden_NF)


def convert_rows(
    weight: Tensor, dtype: torch.dtype, width: int | None = None, scale: float = 1.0
) -> Tensor:
    """Return a matrix scaled and in another dtype, its rows zero-padded.

    Args:
        weight: Shape [N, F], any float dtype.
        dtype: Dtype of the result.
        width: Width of the result's rows, at least F; by default F.
        scale: Factor of every element, applied before rounding.
    """
    n_rows, n_columns = weight.shape
    width = n_columns if width is None else width
    converted = weight.new_empty(n_rows, width, dtype=dtype)
    is_known = weight.dtype == torch.float32 and dtype in SUFFIXES
    if is_known and library.is_usable(weight, converted):
        arguments = (weight, n_rows, n_columns, width, float(scale), converted)
        library.call(f"convert_rows_{SUFFIXES[dtype]}", *arguments)
        return converted
    return reference.convert_rows(weight, converted, scale)
