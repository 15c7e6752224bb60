"""Transformer-XL relative positions and the attention core that uses them.

Letters: B batch, T query positions, S key positions (memory + chunk), H heads, P d_head, D d_model.
"""

import torch
from torch import Tensor

_BASE = 10_000.0


def relative_position_table(n_keys: int, d_model: int, device: torch.device) -> Tensor:
    """Return the sinusoidal table of the distances key minus query, from -(S-1) to 1.

    Source: Transformer-XL (arXiv:1901.02860), Sec. 3.3; sine on even, cosine on odd channels.
    The last row (distance 1) lies in the future: it is never attended to and only gives the table
    the width at which `shift_to_keys` needs no copy.

    Returns:
        Shape [S + 1, D], float32.
    """
    distance = torch.arange(-(n_keys - 1), 2, dtype=torch.float32, device=device)
    channel = torch.arange(0, d_model, 2, dtype=torch.float32, device=device)
    angle = distance[:, None] * _BASE ** (-channel / d_model)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def shift_to_keys(by_distance: Tensor) -> Tensor:
    """Re-index scores by distance as scores by key, without a copy.

    Query i of T stands at position S - T + i, so its key j is at distance column T - 1 - i + j.

    Args:
        by_distance: Shape [X, T, S + 1], contiguous; column c is distance c - (S - 1).

    Returns:
        A view of shape [X, T, S]; entries of future keys are undefined.
    """
    batch, n_queries, width = by_distance.shape
    n_keys = width - 1
    flat = by_distance.view(batch, n_queries * width)
    return flat[:, n_queries - 1 : n_queries - 1 + n_queries * n_keys].view(
        batch, n_queries, n_keys
    )


def future_mask(n_queries: int, n_keys: int, like: Tensor) -> Tensor:
    """Return [T, S], made like `like`: -inf where the key lies after the query, else 0."""
    mask = like.new_full((n_queries, n_keys), float("-inf"))
    return mask.triu_(n_keys - n_queries + 1)


def attend(
    content_query_HBTP: Tensor,
    position_query_HBTP: Tensor,
    key_HBSP: Tensor,
    value_HBSP: Tensor,
    position_key_HRP: Tensor,
) -> Tensor:
    """Attend causally with content and relative-position scores.

    Source: Transformer-XL (arXiv:1901.02860), Sec. 3.3: softmax of
    `q_content . k_j + q_position . r_(j - i)`; the caller has scaled both queries.

    Args:
        content_query_HBTP: Shape [H, B, T, P].
        position_query_HBTP: Shape [H, B, T, P].
        key_HBSP: Shape [H, B, S, P], S >= T; the queries are the last T positions.
        value_HBSP: Shape [H, B, S, P].
        position_key_HRP: Shape [H, R, P] with R = S + 1: the projected position table.

    Returns:
        Shape [H, B, T, P].
    """
    H, B, T, P = content_query_HBTP.shape
    S = key_HBSP.shape[2]
    # Heads come first so that the position product is one per head, not one per head and sequence.
    by_distance_HXR = torch.bmm(
        position_query_HBTP.reshape(H, B * T, P), position_key_HRP.transpose(1, 2)
    )
    scores = shift_to_keys(by_distance_HXR.view(H * B, T, S + 1)) + future_mask(
        T, S, by_distance_HXR
    )
    # In place: with a fresh result the product would first copy what it adds to.
    scores.baddbmm_(
        content_query_HBTP.reshape(H * B, T, P),
        key_HBSP.reshape(H * B, S, P).transpose(1, 2),
    )
    attention = torch.softmax(scores, dim=-1)
    return torch.bmm(attention, value_HBSP.reshape(H * B, S, P)).view(H, B, T, P)


def in_compute_dtype(x: Tensor) -> Tensor:
    """Cast to the type that autocast would give to products, once for all uses of `x`."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x
