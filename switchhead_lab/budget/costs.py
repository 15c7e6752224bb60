"""MACs and memory of an attention layer, in named conventions.

All figures are per attention layer, for one sequence, forward: multiply-accumulates, and floats
kept for the backward pass. `equations` are the formulas in the paper's text; `published` are those
that reproduce the figures in its tables. They differ, so no figure goes without its convention.

Letters: T seq_len, C context_multiple, D d_model, H n_heads, P d_head, E n_experts, K top_k, n
projections with experts, s routers.
"""

from typing import assert_never

from switchhead_lab.config.architecture import (
    DenseAttention,
    DenseFeedForward,
    FeedForwardConfig,
    MoaAttention,
    ModelConfig,
    SigmaMoeFeedForward,
    SwitchHeadAttention,
    TransformerXLPositions,
)
from switchhead_lab.config.sweep import Convention

# The paper's tables price MoA's gating like that of two chosen experts.
_MOA_PUBLISHED_K = 2


def attention_macs(model: ModelConfig, convention: Convention) -> int:
    """Count the multiply-accumulates of one attention layer, one sequence, forward.

    Source: SwitchHead (arXiv:2312.07987), Eq. 11 to 15, and what its tables print.

    Args:
        model: Architecture.
        convention: "equations" or "published".
    """
    T, C, D = model.seq_len, model.context_multiple, model.d_model
    attention = model.attention
    H, P = attention.n_heads, attention.d_head
    maps = 2 * C * H * T * T * P
    position = 2 * C * T * P * D * _has_position_term(model)
    match attention:
        case DenseAttention():
            return 4 * H * T * P * D + maps + H * position
        case SwitchHeadAttention(n_experts=E, top_k=K):
            n, s = len(attention.expert_projections), attention.n_routers
            routed = n * H * T * K * P * (D + 1)
            projections = (4 - n) * H * T * P * D + routed
            if convention == "equations":
                return projections + maps + H * position
            # The printed figures leave the factor C out of the position term and H out of the
            # router's.
            return projections + maps + s * E * D * T * C + H * position // C
        case MoaAttention(n_experts=E):
            projections = (2 * H + 2) * T * P * D
            if convention == "equations":
                return projections + maps + position
            gating = H * _MOA_PUBLISHED_K * T * P
            return projections + maps + gating + E * D * T + position
        case _:
            assert_never(attention)


def attention_memory_floats(model: ModelConfig, convention: Convention) -> int:
    """Count the floats that one attention layer keeps for the backward pass, one sequence.

    Source: SwitchHead (arXiv:2312.07987), Eq. 11 to 15, and what its tables print.

    Args:
        model: Architecture.
        convention: "equations" or "published".
    """
    T, C = model.seq_len, model.context_multiple
    attention = model.attention
    H, P = attention.n_heads, attention.d_head
    maps = 2 * C * H * T * T
    position = 2 * C * T * P * _has_position_term(model)
    match attention:
        case DenseAttention():
            return 4 * H * T * P + maps + H * position
        case SwitchHeadAttention(n_experts=E):
            if convention == "equations":
                return 4 * H * T * P + maps + H * position
            s = attention.n_routers
            return 4 * H * T * P + maps + s * E * T * C + H * position // C
        case MoaAttention(n_experts=E):
            projections = (2 * H + 2) * T * P
            if convention == "equations":
                return projections + maps + position
            return projections + maps + E * T * C + position // C
        case _:
            assert_never(attention)


def feedforward_macs_per_token(feedforward: FeedForwardConfig, d_model: int) -> int:
    """Count the multiply-accumulates of a feed-forward block per token, forward, with router."""
    match feedforward:
        case DenseFeedForward(d_ff=F):
            return 2 * d_model * F
        case SigmaMoeFeedForward(n_experts=E, d_expert=F, top_k=K):
            return 2 * K * d_model * F + E * d_model
        case _:
            assert_never(feedforward)


def forward_macs_per_token(model: ModelConfig, n_outputs: int) -> float:
    """Count the multiply-accumulates of the whole model per token, forward.

    Attention by `equations`; feed-forward and output layer as they are computed. Meant for
    estimates of time, not for tables.
    """
    attention = attention_macs(model, "equations") / model.seq_len
    feedforward = feedforward_macs_per_token(model.feedforward, model.d_model)
    return model.n_layers * (attention + feedforward) + model.d_model * n_outputs


def _has_position_term(model: ModelConfig) -> int:
    """Return 1 for Transformer-XL positions, whose scores have a term of their own, else 0."""
    return int(isinstance(model.positions, TransformerXLPositions))
