"""All experts at once: one product with every expert's weights, gates of the others being zero.

Computes E / K times the products it keeps, yet beats gathering rows while experts are few.
Spreading gates over d_head and adding up experts are written as products with 0/1 matrices: they
are exact, and many times faster than broadcasting over rows as short as d_head.

Letters: N tokens, D d_model, H heads, P d_head, E experts per head, K chosen per token.
"""

import torch
from torch import Tensor


def project_values(
    x_ND: Tensor, weight_HEDP: Tensor, index_NHK: Tensor, gate_NHK: Tensor
) -> Tensor:
    """Return [N, H, P]: the gated sum over each head's chosen experts of `x W[h, e]`."""
    H, E, D, P = weight_HEDP.shape
    weight_DX = weight_HEDP.permute(2, 0, 1, 3).reshape(D, H * E * P)
    gates_NX = _gates_per_channel(index_NHK, gate_NHK, E, P, x_ND)
    gated_NX = (x_ND @ weight_DX) * gates_NX
    return (gated_NX @ _sum_over_experts(H, E, P, x_ND)).view(-1, H, P)


def project_outputs(
    x_NHP: Tensor, weight_HEPD: Tensor, index_NHK: Tensor, gate_NHK: Tensor
) -> Tensor:
    """Return [N, D]: the gated sum over heads and their chosen experts of `x[h] W[h, e]`."""
    H, E, P, D = weight_HEPD.shape
    gates_NX = _gates_per_channel(index_NHK, gate_NHK, E, P, x_NHP)
    repeated_NX = x_NHP.reshape(-1, H * P) @ _sum_over_experts(H, E, P, x_NHP).T
    return (repeated_NX * gates_NX) @ weight_HEPD.reshape(H * E * P, D)


def _gates_per_channel(
    index_NHK: Tensor, gate_NHK: Tensor, n_experts: int, d_head: int, like: Tensor
) -> Tensor:
    """Return [N, H * E * P]: each expert's gate, repeated for its channels; zero if not chosen."""
    N, H, _ = index_NHK.shape
    gates_NHE = gate_NHK.new_zeros(N, H, n_experts).scatter(-1, index_NHK, gate_NHK)
    repeat = torch.eye(H * n_experts, dtype=like.dtype, device=like.device)
    return gates_NHE.view(N, -1).to(like.dtype) @ repeat.repeat_interleave(d_head, dim=1)


def _sum_over_experts(n_heads: int, n_experts: int, d_head: int, like: Tensor) -> Tensor:
    """Return the 0/1 matrix [H * E * P, H * P] that adds up each head's experts."""
    per_channel = torch.eye(n_heads * d_head, dtype=like.dtype, device=like.device)
    by_head_HPX = per_channel.view(n_heads, 1, d_head, n_heads * d_head)
    return by_head_HPX.expand(-1, n_experts, -1, -1).flatten(0, 2)
