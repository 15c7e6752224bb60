"""Closed-form parameter counts, part by part.

Parts are named like the parameters of the built model with the layer number left out
(`blocks.attention.query_weight` sums over all layers), so the two can be compared one by one.

Letters: D d_model, H n_heads, P d_head, E n_experts, F d_ff, V vocab_size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from switchhead_lab.config.schema import (
    AttentionConfig,
    DenseAttention,
    DenseFeedForward,
    ModelConfig,
    SwitchHeadAttention,
)


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model.

    Attributes:
        parts: Parameters by name of the part, all layers together.
    """

    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(self.parts.values())

    @property
    def embedding(self) -> int:
        """Parameters of the input embedding."""
        return self.parts["embedding.weight"]


def count_parameters(model: ModelConfig, vocab_size: int) -> ParameterCount:
    """Count the parameters of a language model.

    Source: SwitchHead (arXiv:2312.07987), Sec. 2.2 and A.5; the output layer is untied.

    Args:
        model: Architecture.
        vocab_size: Number of tokens.
    """
    D, V = model.d_model, vocab_size
    per_layer = {
        **_norm("attention_norm", D),
        **_prefixed("attention", attention_parameters(model.attention, D)),
        **_norm("feedforward_norm", D),
        **_prefixed("feedforward", feedforward_parameters(model.feedforward, D)),
    }
    return ParameterCount(
        {
            "embedding.weight": V * D,
            **{f"blocks.{name}": model.n_layers * count for name, count in per_layer.items()},
            **_norm("final_norm", D),
            "output.weight": V * D,
            "output.bias": V,
        }
    )


def attention_parameters(attention: AttentionConfig, d_model: int) -> dict[str, int]:
    """Count the parameters of one attention layer with Transformer-XL positions, by part."""
    D, H, P = d_model, attention.n_heads, attention.d_head
    projections = {"query_weight": H * P * D, "key_weight": H * P * D, "position_weight": H * P * D}
    match attention:
        case DenseAttention():
            return {
                **projections,
                "value_weight": H * P * D,
                "output_weight": H * P * D,
                "content_bias": H * P,
                "position_bias": H * P,
                "score_scale": 1,
            }
        case SwitchHeadAttention(n_experts=E):
            return {
                **projections,
                "value_weight": H * E * D * P,
                "output_weight": H * E * P * D,
                "value_router.weight": H * E * D,
                "output_router.weight": H * E * D,
            }
        case _:
            assert_never(attention)


def feedforward_parameters(feedforward: DenseFeedForward, d_model: int) -> dict[str, int]:
    """Count the parameters of one feed-forward block, by part."""
    D, F = d_model, feedforward.d_ff
    return {"up.weight": F * D, "up.bias": F, "down.weight": D * F, "down.bias": D}


def _norm(name: str, width: int) -> dict[str, int]:
    return {f"{name}.weight": width, f"{name}.bias": width}


def _prefixed(prefix: str, parts: Mapping[str, int]) -> dict[str, int]:
    return {f"{prefix}.{name}": count for name, count in parts.items()}
