"""The definition of the attention weights and their gradient, in PyTorch operators.

Letters: B sequences, T query positions, S key positions, P d_head, R distances, X heads and
sequences together (H * B).
"""

import torch
from torch import Tensor


def weigh(
    query_XTP: Tensor,
    key_XPS: Tensor,
    by_distance_XTR: Tensor,
    mask: Tensor | None,
    n_sequences: int,
) -> Tensor:
    """Return the attention weights [X, T, S]; scores by distance are overwritten."""
    scores_XTS = shift_to_keys(by_distance_XTR, key_XPS.shape[2])
    scores_XTS.baddbmm_(query_XTP, key_XPS)
    _add_mask(scores_XTS, mask, n_sequences)
    # CUDA's autocast would return float32; the backward pass needs matching dtypes.
    return torch.softmax(scores_XTS, dim=-1, dtype=scores_XTS.dtype)


def weigh_gradient(grad_XTS: Tensor, weight_XTS: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the gradients of scores, by key and by distance ([X, T, width])."""
    scores_XTS = torch._softmax_backward_data(grad_XTS, weight_XTS, -1, grad_XTS.dtype)
    return scores_XTS, _unshift(scores_XTS, width)


def shift_to_keys(by_distance: Tensor, n_keys: int) -> Tensor:
    """Re-index scores by distance as scores by key, without a copy.

    Query i of T is at position S - T + i, so its key j is at distance column T - 1 - i + j.

    Args:
        by_distance: Shape [X, T, R], contiguous, R > S; column c is distance c - (S - 1).
        n_keys: Key positions S.

    Returns:
        A view of shape [X, T, S]; entries of keys whose distance has no column are undefined.
    """
    batch, n_queries, width = by_distance.shape
    flat = by_distance.view(batch, n_queries * width)
    first = n_queries - 1
    rows = flat[:, first : first + n_queries * (width - 1)].view(batch, n_queries, width - 1)
    return rows[..., :n_keys]


def _add_mask(scores_XTS: Tensor, mask: Tensor | None, n_sequences: int) -> None:
    if mask is None:
        return
    if mask.dim() == 2:
        # Only future keys are masked, and they are among the last T.
        n_queries = scores_XTS.shape[1]
        scores_XTS[..., -n_queries:].add_(mask[:, -n_queries:])
        return
    scores_XTS.unflatten(0, (-1, n_sequences)).add_(mask)


def _unshift(by_key_XTS: Tensor, width: int) -> Tensor:
    """Return the inverse of `shift_to_keys`, zero elsewhere; shape [X, T, R]."""
    X, T, S = by_key_XTS.shape
    by_distance = by_key_XTS.new_empty(X, T, width)
    flat = by_distance.view(X, T * width)
    flat[:, : T - 1].zero_()
    flat[:, T - 1 + T * (width - 1) :].zero_()
    rows = flat[:, T - 1 : T - 1 + T * (width - 1)].view(X, T, width - 1)
    rows[..., :S].copy_(by_key_XTS)
    rows[..., S:].zero_()
    return by_distance
