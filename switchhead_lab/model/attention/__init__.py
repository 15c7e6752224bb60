"""Attention variants; the one place where one is chosen."""

from typing import assert_never

from switchhead_lab.config.schema import AttentionConfig, DenseAttention, SwitchHeadAttention
from switchhead_lab.model.attention.dense import DenseXLAttention
from switchhead_lab.model.attention.switchhead import SwitchHeadXLAttention

__all__ = ["Attention", "DenseXLAttention", "SwitchHeadXLAttention", "build_attention"]

Attention = DenseXLAttention | SwitchHeadXLAttention


def build_attention(config: AttentionConfig, d_model: int) -> Attention:
    """Build the attention layer that a configuration describes."""
    match config:
        case DenseAttention():
            return DenseXLAttention(config, d_model)
        case SwitchHeadAttention():
            return SwitchHeadXLAttention(config, d_model)
        case _:
            assert_never(config)
