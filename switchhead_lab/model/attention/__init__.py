"""Attention variants; the one place where one is chosen."""

from typing import assert_never

from switchhead_lab.config.architecture import (
    AttentionConfig,
    DenseAttention,
    MoaAttention,
    PositionsConfig,
    SwitchHeadAttention,
)
from switchhead_lab.model.attention.dense import DenseMultiHeadAttention
from switchhead_lab.model.attention.moa import MoaMultiHeadAttention
from switchhead_lab.model.attention.switchhead import SwitchHeadMultiHeadAttention

__all__ = [
    "Attention",
    "DenseMultiHeadAttention",
    "MoaMultiHeadAttention",
    "SwitchHeadMultiHeadAttention",
    "build_attention",
]

Attention = DenseMultiHeadAttention | SwitchHeadMultiHeadAttention | MoaMultiHeadAttention


def build_attention(config: AttentionConfig, positions: PositionsConfig, d_model: int) -> Attention:
    """Build the attention layer that a configuration describes."""
    match config:
        case DenseAttention():
            return DenseMultiHeadAttention(config, positions, d_model)
        case SwitchHeadAttention():
            return SwitchHeadMultiHeadAttention(config, positions, d_model)
        case MoaAttention():
            return MoaMultiHeadAttention(config, positions, d_model)
        case _:
            assert_never(config)
