"""The fused pass over rows of logits: bias, softmax, loss, and the gradients of logits and bias.

Letters: N rows, V vocabulary.
"""

import ctypes

import torch
from torch import Tensor

from switchhead_kernels.linear_cross_entropy import reference
from switchhead_kernels.native import library
from switchhead_kernels.native.library import SUFFIXES


def cross_entropy_(
    logits_NV: Tensor,
    target_N: Tensor,
    ignore: int,
    bias_V: Tensor | None = None,
    column_sums_V: Tensor | None = None,
) -> Tensor:
    """Return the summed negative log-likelihood of the targets, in nats.

    Args:
        logits_NV: Shape [N, V], any float dtype; overwritten by its gradient if
            `column_sums_V` is given, undefined afterwards otherwise.
        target_N: Shape [N], int64 in [0, V), or `ignore` for rows that are not scored.
        ignore: Target of rows that are not scored.
        bias_V: Shape [V], float32 or finer: added to the logits of every row; None for 0.
        column_sums_V: Shape [V], float32 or finer: the gradient, summed over rows, is added
            to it.

    Returns:
        Scalar, float32 or finer.
    """
    fine = torch.promote_types(logits_NV.dtype, torch.float32)
    if logits_NV.dtype in SUFFIXES and library.is_usable(logits_NV, target_N):
        name = f"cross_entropy_{SUFFIXES[logits_NV.dtype]}"
        arguments = (logits_NV, bias_V, *logits_NV.shape, target_N, ignore, column_sums_V)
        loss = library.call(name, *arguments, result=ctypes.c_double)
        if loss < 0.0:
            raise IndexError(f"a target is outside 0..{logits_NV.shape[1] - 1}")
        return torch.tensor(loss, dtype=fine)
    return reference.cross_entropy_(logits_NV, target_N, ignore, bias_V, column_sums_V)
