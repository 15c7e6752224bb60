"""Attention with content and relative-position scores, and its gradient.

One function with its own gradient, to avoid the copies of autograd's: scores by distance become
scores by key as a view, no gradient is padded and summed, and no matmul reads the large matrix
transposed.

Letters: B batch, T query positions, S key positions, H heads, P d_head, R distances, X heads and
sequences together (H * B).
"""

import math
from typing import Any

import torch
from torch import Tensor

from switchhead_kernels.relative_attention import reference
from switchhead_kernels.relative_attention.fused import (
    channels_last,
    has_relative_softmax,
    relative_softmax_,
    relative_softmax_gradient_,
)

_ENOUGH_MATMULS = 64


def attend_relative(
    content_query_HBTP: Tensor,
    position_query_HBTP: Tensor | None,
    key_HBSP: Tensor,
    value_HBSP: Tensor,
    position_key_HRP: Tensor,
    mask: Tensor | None,
) -> Tensor:
    """Attend with content and relative-position scores; the queries are scaled.

    Source: Transformer-XL (arXiv:1901.02860), Sec. 3.3: softmax of
    `q_content . k_j + q_position . r_(j - i)`.

    Args:
        content_query_HBTP: Shape [H, B, T, P].
        position_query_HBTP: Shape [H, B, T, P]; None for the content queries.
        key_HBSP: Shape [H, B, S, P], S >= T; the queries are the last T positions.
        value_HBSP: Shape [H, B, S, P].
        position_key_HRP: Shape [H, R, P]: the projected table of distances, from -(S - 1) on.
        mask: Added to the scores; shape [T, S], or [B, 1, S] or [B, T, S]; None for 0.

    Returns:
        Shape [H, B, T, P].
    """
    out: Tensor = _RelativeAttention.apply(
        content_query_HBTP, position_query_HBTP, key_HBSP, value_HBSP, position_key_HRP, mask
    )
    return out


class _RelativeAttention(torch.autograd.Function):
    """The forward pass saves the attention weights; scores are overwritten in place."""

    @staticmethod
    def forward(
        ctx: Any,
        content_query: Tensor,
        position_query: Tensor | None,
        key: Tensor,
        value: Tensor,
        position_key: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        H, B, T, P = content_query.shape
        S, R = key.shape[2], position_key.shape[1]
        content_query_XTP = content_query.reshape(H * B, T, P)
        position_query_HYP = (
            content_query_XTP if position_query is None else position_query
        ).reshape(H, B * T, P)
        key_XSP, value_XSP = key.reshape(H * B, S, P), value.reshape(H * B, S, P)
        by_distance_HYR = torch.bmm(position_query_HYP, position_key.transpose(1, 2))
        weight_XTS = _weigh(content_query_XTP, key_XSP, by_distance_HYR.view(H * B, T, R), mask, B)
        ctx.save_for_backward(
            content_query_XTP, position_query_HYP, key_XSP, value_XSP, position_key, weight_XTS
        )
        ctx.n_sequences, ctx.shares_query = B, position_query is None
        return torch.bmm(weight_XTS, value_XSP).view(H, B, T, P)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        content_query, position_query, key, value, position_key, weight = ctx.saved_tensors
        X, T = weight.shape[:2]
        B, R = ctx.n_sequences, position_key.shape[1]
        grad_XTP = grad_out.reshape(X, T, -1)
        grad_value_XPS = torch.bmm(grad_XTP.transpose(1, 2), weight)
        grad_weight_XTS = torch.bmm(grad_XTP, value.transpose(1, 2))
        grad_scores_XTS, by_distance_XTR = _weigh_gradient(grad_weight_XTS, weight, R)
        grad_content_XTP = torch.bmm(grad_scores_XTS, key)
        grad_key_XPS = torch.bmm(content_query.transpose(1, 2), grad_scores_XTS)
        by_distance_HYR = by_distance_XTR.view(-1, B * T, R)
        if ctx.shares_query:
            grad_content_HYP = grad_content_XTP.view(-1, B * T, grad_XTP.shape[2])
            grad_content_HYP.baddbmm_(by_distance_HYR, position_key)
            grad_position = None
        else:
            grad_position_HYP = torch.bmm(by_distance_HYR, position_key)
            grad_position = grad_position_HYP.view(-1, B, T, grad_XTP.shape[2])
        grad_position_key_HPR = _sum_over_queries(position_query, by_distance_HYR, B)

        def by_head(grad: Tensor) -> Tensor:
            return grad.view(-1, B, *grad.shape[1:])

        return (
            by_head(grad_content_XTP),
            grad_position,
            channels_last(by_head(grad_key_XPS)),
            channels_last(by_head(grad_value_XPS)),
            grad_position_key_HPR.transpose(1, 2),
            None,
        )


def _sum_over_queries(query_HYP: Tensor, by_distance_HYR: Tensor, n_sequences: int) -> Tensor:
    """Return `query^T by_distance` of each head, [H, P, R].

    Few heads make few matmuls, each with a very long sum, which leaves most of a GPU idle. There
    groups of sequences are summed separately.
    """
    H, Y = query_HYP.shape[:2]
    n_parts = 1
    if query_HYP.device.type == "cuda":
        n_parts = math.gcd(n_sequences, max(1, _ENOUGH_MATMULS // H))
    if n_parts == 1:
        return torch.bmm(query_HYP.transpose(1, 2), by_distance_HYR)
    query, by_distance = (
        x.reshape(H * n_parts, Y // n_parts, -1) for x in (query_HYP, by_distance_HYR)
    )
    parts = torch.bmm(query.transpose(1, 2), by_distance)
    # Promoted first, so that neither autocast nor low precision rounds the sums.
    fine = torch.promote_types(parts.dtype, torch.float32)
    return parts.unflatten(0, (H, n_parts)).sum(dim=1, dtype=fine).to(parts.dtype)


def _weigh(
    query_XTP: Tensor,
    key_XSP: Tensor,
    by_distance_XTR: Tensor,
    mask: Tensor | None,
    n_sequences: int,
) -> Tensor:
    """Return the attention weights [X, T, S]; scores by distance are overwritten."""
    key_XPS = key_XSP.transpose(1, 2)
    if has_relative_softmax(by_distance_XTR):
        content_XTS = torch.bmm(query_XTP, key_XPS)
        return relative_softmax_(content_XTS, by_distance_XTR, mask, n_sequences)
    return reference.weigh(query_XTP, key_XPS, by_distance_XTR, mask, n_sequences)


def _weigh_gradient(grad_XTS: Tensor, weight_XTS: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the gradients of scores, by key and by distance; the first argument is overwritten."""
    if has_relative_softmax(grad_XTS):
        return grad_XTS, relative_softmax_gradient_(grad_XTS, weight_XTS, width)
    return reference.weigh_gradient(grad_XTS, weight_XTS, width)
