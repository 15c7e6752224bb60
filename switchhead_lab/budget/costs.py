"""MACs and memory of an attention layer, in named conventions.

All figures are per attention layer, for one sequence, forward: multiply-accumulates, and floats
kept for the backward pass. `equations` are the formulas in the paper's text; `published` are those
that reproduce the figures in its tables. They differ, so no figure goes without its convention.

Letters: T seq_len, C context_multiple, D d_model, H n_heads, P d_head, E n_experts, K top_k.
"""

from typing import assert_never

from switchhead_lab.config.schema import DenseAttention, ModelConfig, SwitchHeadAttention
from switchhead_lab.config.sweep import Convention

# SwitchHead's expert projections (value, output) and routed sides (source, destination).
_N_EXPERT_PROJECTIONS = 2
_N_ROUTED_SIDES = 2


def attention_macs(model: ModelConfig, convention: Convention) -> int:
    """Count the multiply-accumulates of one attention layer, one sequence, forward.

    Source: SwitchHead (arXiv:2312.07987), Eq. 11 to 15, and what its tables print.

    Args:
        model: Architecture.
        convention: "equations" or "published".
    """
    T, C, D = model.seq_len, model.positions.context_multiple, model.d_model
    attention = model.attention
    H, P = attention.n_heads, attention.d_head
    core = 2 * C * T * T * P
    match attention:
        case DenseAttention():
            return H * (4 * T * P * D + core + 2 * C * T * P * D)
        case SwitchHeadAttention(n_experts=E, top_k=K):
            if convention == "equations":
                routed = 2 * T * K * P * (D + 1)
                return H * (2 * T * P * D + routed + core + 2 * C * T * P * D)
            n, s = _N_EXPERT_PROJECTIONS, _N_ROUTED_SIDES
            projections = (n * K + 4 - n) * D * H * P * T + n * H * K * T * P
            # The printed figures leave the factor C out of the position term.
            return H * core + projections + s * E * D * T * C + 2 * H * D * T * P
        case _:
            assert_never(attention)


def attention_memory_floats(model: ModelConfig, convention: Convention) -> int:
    """Count the floats that one attention layer keeps for the backward pass, one sequence.

    Source: SwitchHead (arXiv:2312.07987), Eq. 11 to 15, and what its tables print.

    Args:
        model: Architecture.
        convention: "equations" or "published".
    """
    T, C = model.seq_len, model.positions.context_multiple
    attention = model.attention
    H, P = attention.n_heads, attention.d_head
    maps = 2 * C * H * T * T
    by_equation = 4 * H * T * P + maps + 2 * C * H * T * P
    match attention:
        case DenseAttention():
            return by_equation
        case SwitchHeadAttention(n_experts=E):
            if convention == "equations":
                return by_equation
            return maps + 4 * H * P * T + _N_ROUTED_SIDES * E * T * C + 2 * H * P * T
        case _:
            assert_never(attention)


def forward_macs_per_token(model: ModelConfig, vocab_size: int) -> float:
    """Count the multiply-accumulates of the whole model per token, forward.

    Attention by `equations`; feed-forward and output layer as they are computed. Meant for
    estimates of time, not for tables.
    """
    attention = attention_macs(model, "equations") / model.seq_len
    feedforward = 2 * model.d_model * model.feedforward.d_ff
    return model.n_layers * (attention + feedforward) + model.d_model * vocab_size
