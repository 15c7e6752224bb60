"""Passes over rows that take several operators in PyTorch: one each, on the CPU.

Where the CPU kernels cannot be built, and on other devices, the same is computed by operators.
Functions whose names end in an underscore overwrite their first argument.

Letters: N rows, V vocabulary, F hidden channels, E experts, K chosen; X attention maps, B
sequences, T query positions, S key positions, R distances.
"""

import ctypes
import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from switchhead_kernels.native import library
from switchhead_kernels.native.library import SUFFIXES
from switchhead_kernels.rowwise_ops import (
    largest_indices_op,
    relative_softmax_gradient_op,
    relative_softmax_op,
)

# Dropout decides by 16 bits.
_N_LEVELS = 1 << 16
_MOST_CHOICES = 128  # of `largest_indices` in top_k.cpp


def cross_entropy_(
    logits_NV: Tensor,
    target_N: Tensor,
    ignore: int,
    bias_V: Tensor | None = None,
    column_sums_V: Tensor | None = None,
) -> Tensor:
    """Return the negative log-likelihoods of the targets, summed, in nats.

    Args:
        logits_NV: Shape [N, V], any float dtype; overwritten by its gradient where
            `column_sums_V` is given, undefined afterwards where it is not.
        target_N: Shape [N], int64 in [0, V), or `ignore` where a row is not scored.
        ignore: Target of rows that are not scored.
        bias_V: Shape [V], float32 or finer: added to the logits of every row; None for 0.
        column_sums_V: Shape [V], float32 or finer: the gradient's sums over rows are added.

    Returns:
        Scalar, float32 or finer.
    """
    fine = torch.promote_types(logits_NV.dtype, torch.float32)
    if logits_NV.dtype in SUFFIXES and library.is_usable(logits_NV, target_N):
        name = f"cross_entropy_{SUFFIXES[logits_NV.dtype]}"
        arguments = (logits_NV, bias_V, *logits_NV.shape, target_N, ignore, column_sums_V)
        loss = library.call(name, *arguments, result=ctypes.c_double)
        if loss < 0.0:
            raise IndexError(f"a target is outside of 0..{logits_NV.shape[1] - 1}")
        return torch.tensor(loss, dtype=fine)
    logits = logits_NV.to(fine)
    log_p = (logits if bias_V is None else logits + bias_V).log_softmax(dim=-1)
    is_scored = (target_N != ignore)[:, None]
    target = target_N[:, None].where(is_scored, 0)
    loss = -(log_p.gather(1, target) * is_scored).sum()
    if column_sums_V is not None:
        gradient = log_p.exp_()
        gradient.scatter_add_(1, target, torch.full_like(gradient[:, :1], -1.0))
        gradient *= is_scored
        column_sums_V += gradient.sum(dim=0)
        logits_NV.copy_(gradient)
    return loss


def relu_dropout_(
    hidden_NF: Tensor, p: float, seed: int = 0, bias_F: Tensor | None = None
) -> Tensor:
    """Add a bias, set to zero what is negative and the rest with probability `p`; return the input.

    Args:
        hidden_NF: Shape [N, F], any float dtype.
        p: Probability, 0 <= p < 1, met to within 1 / 131072. What is kept is not scaled.
        seed: Of the draws, in 0..2^63 - 1: equal seeds drop equal places.
        bias_F: Shape [F], float32 or finer; None for 0.
    """
    threshold = round(p * _N_LEVELS)
    if hidden_NF.dtype in SUFFIXES and library.is_usable(hidden_NF):
        name = f"relu_dropout_{SUFFIXES[hidden_NF.dtype]}"
        library.call(name, hidden_NF, bias_F, *hidden_NF.shape, seed, threshold)
        return hidden_NF
    if bias_F is not None:
        hidden_NF.copy_(hidden_NF + bias_F)
    hidden_NF.clamp_min_(0.0)
    if threshold:
        hidden_NF.masked_fill_(_levels(hidden_NF, seed) < threshold, 0.0)
    return hidden_NF


def _levels(like: Tensor, seed: int) -> Tensor:
    """Return a number in 0..65535 for each element.

    On a CPU that of the CPU kernels, a quarter of one of SplitMix64's outputs each (Steele et al.,
    "Fast splittable pseudorandom number generators", 2014); elsewhere the device's own.
    """
    if like.device.type != "cpu":
        return torch.randint(_N_LEVELS, like.shape, dtype=torch.int32, device=like.device)
    n = like.numel()
    z = np.arange(1, -(-n // 4) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    levels = z.astype("<u8").view("<u2")[:n].astype(np.int32)
    return torch.from_numpy(levels).view(like.shape)


def relu_gradient_(grad_NF: Tensor, hidden_NF: Tensor) -> Tensor:
    """Set the gradient to zero where the hidden channel is; return its sums over rows.

    Args:
        grad_NF: Shape [N, F], any float dtype.
        hidden_NF: Same shape and dtype: what `relu_dropout_` made.

    Returns:
        Shape [F], float32 or finer.
    """
    fine = torch.promote_types(grad_NF.dtype, torch.float32)
    if grad_NF.dtype in SUFFIXES and library.is_usable(grad_NF, hidden_NF):
        sums = grad_NF.new_empty(grad_NF.shape[1], dtype=fine)
        name = f"relu_gradient_{SUFFIXES[grad_NF.dtype]}"
        library.call(name, hidden_NF, grad_NF, *grad_NF.shape, sums)
        return sums
    grad_NF.masked_fill_(hidden_NF == 0.0, 0.0)
    return grad_NF.sum(dim=0, dtype=fine)


def convert_rows(
    weight: Tensor, dtype: torch.dtype, width: int | None = None, scale: float = 1.0
) -> Tensor:
    """Return a matrix scaled and in another type, its rows filled up with zeros.

    Args:
        weight: Shape [N, F], any float dtype.
        dtype: Type of the result.
        width: Width of the result's rows, at least F; F if left out.
        scale: Factor of every entry, applied before rounding.
    """
    n_rows, n_columns = weight.shape
    width = n_columns if width is None else width
    converted = weight.new_empty(n_rows, width, dtype=dtype)
    is_known = weight.dtype == torch.float32 and dtype in SUFFIXES
    if is_known and library.is_usable(weight, converted):
        arguments = (weight, n_rows, n_columns, width, float(scale), converted)
        library.call(f"convert_rows_{SUFFIXES[dtype]}", *arguments)
        return converted
    converted[:, :n_columns] = weight * scale
    converted[:, n_columns:].zero_()
    return converted


def largest_indices(scores: Tensor, k: int) -> Tensor:
    """Return the indices of each row's `k` largest scores, largest first, int64.

    Ties go to the lower index: a stable sort rather than topk, whose order on ties is not defined,
    so that runs repeat.

    Args:
        scores: Shape [..., E], any float dtype.
        k: How many, at most E.
    """
    scores = scores.detach()
    n_experts = scores.shape[-1]
    is_known = scores.dtype == torch.float32 and n_experts <= _MOST_CHOICES
    if is_known and library.is_usable(scores):
        index = scores.new_empty(*scores.shape[:-1], k, dtype=torch.int64)
        library.call("largest_indices", scores, scores.numel() // n_experts, n_experts, k, index)
        return index
    if scores.device.type == "cuda" and scores.dtype != torch.float64:
        return largest_indices_op(scores, k)  # type: ignore[no-any-return]
    return scores.sort(dim=-1, descending=True, stable=True).indices[..., :k]


def has_relative_softmax(x: Tensor) -> bool:
    """Tell whether `relative_softmax_` can work on tensors like this one."""
    return x.dtype in SUFFIXES and (x.device.type == "cuda" or library.is_usable(x))


def relative_softmax_(
    content_XTS: Tensor, by_distance_XTR: Tensor, mask: Tensor | None, n_sequences: int
) -> Tensor:
    """Turn scores by content and by distance into attention weights; return the first argument.

    Query i of T is at position S - T + i, so its key j is at distance column T - 1 - i + j.
    Where the mask is -inf, scores may be anything.

    Args:
        content_XTS: Shape [X, T, S], contiguous, float32 or bfloat16, on CPU or GPU.
        by_distance_XTR: Shape [X, T, R], R > S, contiguous, same dtype.
        mask: Added to the scores, same dtype: shape [T, S], or [B, 1, S] or [B, T, S]; None for 0.
        n_sequences: B; map x is of sequence x mod B.
    """
    if content_XTS.device.type == "cuda":
        relative_softmax_op(content_XTS, by_distance_XTR, mask, n_sequences)
        return content_XTS
    n_rows = stride = 0
    if mask is not None:
        n_rows, stride = mask.shape[-2], 0 if mask.dim() == 2 else mask.stride(0)
        mask = mask.contiguous()
    sizes = (*content_XTS.shape, by_distance_XTR.shape[2])
    name = f"relative_softmax_{SUFFIXES[content_XTS.dtype]}"
    library.call(name, content_XTS, by_distance_XTR, mask, n_sequences, n_rows, stride, *sizes)
    return content_XTS


def relative_softmax_gradient_(grad_XTS: Tensor, weight_XTS: Tensor, width: int) -> Tensor:
    """Turn the gradient of attention weights into that of scores by content; return by distance.

    Args:
        grad_XTS: Shape [X, T, S], contiguous, float32 or bfloat16, on CPU or GPU.
        weight_XTS: Same shape and dtype: what `relative_softmax_` made.
        width: Columns R of the scores by distance.

    Returns:
        Shape [X, T, R].
    """
    if grad_XTS.device.type == "cuda":
        return relative_softmax_gradient_op(grad_XTS, weight_XTS, width)  # type: ignore[no-any-return]
    by_distance_XTR = grad_XTS.new_empty(*grad_XTS.shape[:2], width)
    name = f"relative_softmax_gradient_{SUFFIXES[grad_XTS.dtype]}"
    library.call(name, grad_XTS, weight_XTS, by_distance_XTR, *grad_XTS.shape, width)
    return by_distance_XTR


def add_by_position(
    exact: Sequence[Tensor | None], rounded: Sequence[Tensor | None], shape: Sequence[int]
) -> Tensor | None:
    """Add up tensors of all positions and tensors of the last T; None if there are none.

    Args:
        exact: One of all positions, shape [B, S, D], and one of the last, [B, T, D], of one dtype;
            None for either that is not there.
        rounded: The same in another dtype, no finer.
        shape: B, S and D.

    Returns:
        Shape [B, S, D], in the finest dtype that is there, float32 or finer.
    """
    given = [part for part in (*exact, *rounded) if part is not None]
    if not given:
        return None
    dtype = functools.reduce(torch.promote_types, [part.dtype for part in given], torch.float32)
    total = given[0].new_empty(tuple(shape), dtype=dtype)
    is_exact = all(part is None or part.dtype == torch.float32 for part in exact)
    rounded_dtype = next((part.dtype for part in rounded if part is not None), torch.float32)
    if is_exact and rounded_dtype in SUFFIXES and library.is_usable(*given):
        n_last = min(part.shape[1] for part in given)
        arguments = (*exact, *rounded, *shape, n_last, total)
        library.call(f"add_by_position_{SUFFIXES[rounded_dtype]}", *arguments)
        return total
    total.zero_()
    for part in given:
        total[:, -part.shape[1] :] += part
    return total


def channels_last(x_HBPS: Tensor) -> Tensor:
    """Return a tensor in the order in memory that the gradient of a projection to heads reads.

    Args:
        x_HBPS: Shape [H, B, P, S]: by head, sequence, channel and position.

    Returns:
        Shape [H, B, S, P], in memory as [B, S, H, P].
    """
    H, B, P, S = x_HBPS.shape
    out_BSHP = x_HBPS.new_empty(B, S, H, P)
    if x_HBPS.dtype in SUFFIXES and library.is_usable(x_HBPS):
        name = f"channels_last_{SUFFIXES[x_HBPS.dtype]}"
        library.call(name, x_HBPS, *x_HBPS.shape, out_BSHP)
    else:
        out_BSHP.copy_(x_HBPS.permute(1, 3, 0, 2))
    return out_BSHP.permute(2, 0, 1, 3)
