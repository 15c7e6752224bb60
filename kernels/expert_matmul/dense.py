"""All experts at once: one matmul with every expert's weights, zero gates if not chosen.

Computes E / K times the products it keeps, yet beats gathering rows while experts are few.
Matmuls with 0/1 matrices broadcast gates to channels and sum over experts: exact, and many times
faster than a broadcast over rows as short as d_head.

Letters: N tokens, H heads, E experts per head, K chosen per token and head, X width in, Y width
out, M channels of all heads and experts.
"""

import torch
from torch import Tensor


def expert_matmul(
    x: Tensor,
    weight_HEXY: Tensor,
    index_NHK: Tensor,
    gate_NHK: Tensor | None,
    rows_in: str,
    rows_out: str,
) -> Tensor:
    """Multiply rows with their experts' weights; see `switchhead_kernels.expert_matmul`."""
    functions = {
        ("token", "head"): _token_to_head,
        ("head", "token"): _head_to_token,
        ("token", "slot"): _token_to_slot,
        ("slot", "token"): _slot_to_token,
    }
    if (rows_in, rows_out) not in functions:
        raise ValueError(
            f'backend "dense" has no rows_in="{rows_in}" with rows_out="{rows_out}"; '
            'use backend="reference"'
        )
    gate_NHK = torch.ones_like(index_NHK, dtype=x.dtype) if gate_NHK is None else gate_NHK
    return functions[rows_in, rows_out](x, weight_HEXY, index_NHK, gate_NHK)


def _token_to_head(x_NX: Tensor, weight_HEXY: Tensor, index: Tensor, gate: Tensor) -> Tensor:
    H, E, X, Y = weight_HEXY.shape
    weight_XM = weight_HEXY.permute(2, 0, 1, 3).reshape(X, H * E * Y)
    gated_NM = (x_NX @ weight_XM) * _gates_per_channel(index, gate, E, Y, x_NX)
    return (gated_NM @ _sum_over_experts(H, E, Y, x_NX)).view(-1, H, Y)


def _head_to_token(x_NHX: Tensor, weight_HEXY: Tensor, index: Tensor, gate: Tensor) -> Tensor:
    H, E, X, Y = weight_HEXY.shape
    repeated_NM = x_NHX.reshape(-1, H * X) @ _sum_over_experts(H, E, X, x_NHX).T
    gates_NM = _gates_per_channel(index, gate, E, X, x_NHX)
    return (repeated_NM * gates_NM) @ weight_HEXY.reshape(H * E * X, Y)


def _token_to_slot(x_NX: Tensor, weight_HEXY: Tensor, index: Tensor, gate: Tensor) -> Tensor:
    H, E, X, Y = weight_HEXY.shape
    weight_XM = weight_HEXY.permute(2, 0, 1, 3).reshape(X, H * E * Y)
    all_NHEY = (x_NX @ weight_XM).view(-1, H, E, Y)
    chosen_NHKY = all_NHEY.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, Y))
    return chosen_NHKY * gate.to(x_NX.dtype).unsqueeze(-1)


def _slot_to_token(x_NHKX: Tensor, weight_HEXY: Tensor, index: Tensor, gate: Tensor) -> Tensor:
    H, E, X, Y = weight_HEXY.shape
    gated_NHKX = x_NHKX * gate.to(x_NHKX.dtype).unsqueeze(-1)
    all_NHEX = x_NHKX.new_zeros(x_NHKX.shape[0], H, E, X)
    placed_NHEX = all_NHEX.scatter(2, index.unsqueeze(-1).expand(-1, -1, -1, X), gated_NHKX)
    return placed_NHEX.view(-1, H * E * X) @ weight_HEXY.reshape(H * E * X, Y)


def _gates_per_channel(
    index_NHK: Tensor, gate_NHK: Tensor, n_experts: int, n_channels: int, like: Tensor
) -> Tensor:
    """Return each expert's gate for each of its channels, zero where not chosen, [N, M]."""
    N, H, _ = index_NHK.shape
    gates_NHE = gate_NHK.new_zeros(N, H, n_experts).scatter(-1, index_NHK, gate_NHK)
    repeat = torch.eye(H * n_experts, dtype=like.dtype, device=like.device)
    return gates_NHE.view(N, -1).to(like.dtype) @ repeat.repeat_interleave(n_channels, dim=1)


def _sum_over_experts(n_heads: int, n_experts: int, n_channels: int, like: Tensor) -> Tensor:
    """Return the 0/1 matrix [M, H * channels] that sums over each head's experts."""
    width = n_heads * n_channels
    per_channel = torch.eye(width, dtype=like.dtype, device=like.device)
    by_head = per_channel.view(n_heads, 1, n_channels, width)
    return by_head.expand(-1, n_experts, -1, -1).flatten(0, 2)
