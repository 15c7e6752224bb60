"""Closed-form parameter counts, part by part.

Parts are named like the parameters of the built model with the layer number left out
(`blocks.attention.query_weight` sums over all layers), so the two can be compared one by one.

Letters: D d_model, H n_heads, P d_head, E n_experts, F d_ff, V vocab_size, C n_outputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from switchhead_lab.config.architecture import (
    DESTINATION_PROJECTIONS,
    SOURCE_PROJECTIONS,
    AttentionConfig,
    DenseAttention,
    DenseFeedForward,
    FeedForwardConfig,
    MoaAttention,
    ModelConfig,
    PositionsConfig,
    RopePositions,
    SigmaMoeFeedForward,
    SwitchHeadAttention,
)

PROJECTION_NAMES = {"q": "query", "k": "key", "v": "value", "o": "output"}


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


def count_parameters(
    model: ModelConfig, vocab_size: int, n_outputs: int | None = None
) -> ParameterCount:
    """Count the parameters of a model.

    Source: SwitchHead (arXiv:2312.07987), Sec. 2.2 and A.5; the output layer is untied.

    Args:
        model: Architecture.
        vocab_size: Number of tokens.
        n_outputs: Width of the output layer; as many as there are tokens if left out.
    """
    D, V = model.d_model, vocab_size
    C = vocab_size if n_outputs is None else n_outputs
    per_layer = {
        **_norm("attention_norm", D),
        **_prefixed("attention", attention_parameters(model.attention, model.positions, D)),
        **_norm("feedforward_norm", D),
        **_prefixed("feedforward", feedforward_parameters(model.feedforward, D)),
    }
    return ParameterCount(
        {
            "embedding.weight": V * D,
            **{f"blocks.{name}": model.n_layers * count for name, count in per_layer.items()},
            **_norm("final_norm", D),
            "output.weight": C * D,
            "output.bias": C,
        }
    )


def attention_parameters(
    attention: AttentionConfig, positions: PositionsConfig, d_model: int
) -> dict[str, int]:
    """Count the parameters of one attention layer, by part."""
    D, H, P = d_model, attention.n_heads, attention.d_head
    match attention:
        case DenseAttention():
            return {
                **{f"{name}_weight": H * P * D for name in PROJECTION_NAMES.values()},
                **_position_parameters(positions, D, H, P, has_bias=True),
            }
        case SwitchHeadAttention(n_experts=E):
            experts = attention.expert_projections
            routers = ("value_router", "output_router")
            sides = (SOURCE_PROJECTIONS, DESTINATION_PROJECTIONS)
            return {
                **{
                    f"{name}_weight": H * P * D * (E if letter in experts else 1)
                    for letter, name in PROJECTION_NAMES.items()
                },
                **_position_parameters(positions, D, H, P, has_bias=False),
                **{
                    f"{router}.weight": H * E * D
                    for router, side in list(zip(routers, sides, strict=True))[
                        : 1 if attention.shared_selection else 2
                    ]
                    if set(side) & set(experts)
                },
            }
        case MoaAttention(n_experts=E):
            return {
                "query_weight": E * D * P,
                "key_weight": P * D,
                "value_weight": P * D,
                "output_weight": E * P * D,
                **_position_parameters(positions, D, 1, P, has_bias=False),
                "router.weight": E * D,
            }
        case _:
            assert_never(attention)


def feedforward_parameters(feedforward: FeedForwardConfig, d_model: int) -> dict[str, int]:
    """Count the parameters of one feed-forward block, by part."""
    D = d_model
    match feedforward:
        case DenseFeedForward(d_ff=F):
            return {"up.weight": F * D, "up.bias": F, "down.weight": D * F, "down.bias": D}
        case SigmaMoeFeedForward(n_experts=E, d_expert=F):
            return {
                "up_weight": E * D * F,
                "down_weight": E * F * D,
                "router.weight": E * D,
            }
        case _:
            assert_never(feedforward)


def _position_parameters(
    positions: PositionsConfig, d_model: int, n_heads: int, d_head: int, *, has_bias: bool
) -> dict[str, int]:
    if isinstance(positions, RopePositions):
        return {}
    width = n_heads * d_head
    parts = {"positions.weight": width * d_model}
    if has_bias:
        parts |= {
            "positions.content_bias": width,
            "positions.position_bias": width,
            "positions.score_scale": 1,
        }
    return parts


def _norm(name: str, width: int) -> dict[str, int]:
    return {f"{name}.weight": width, f"{name}.bias": width}


def _prefixed(prefix: str, parts: Mapping[str, int]) -> dict[str, int]:
    return {f"{prefix}.{name}": count for name, count in parts.items()}
