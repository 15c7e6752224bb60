"""Mixture of Attention Heads."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.variants.base import (
    AttentionVariant,
    Cost,
    Experts,
    Gate,
    LayerSizes,
    SizeField,
)
from switchhead_lab.variants.registry import register

# The paper's tables count the gating as if two experts were chosen.
PUBLISHED_K = 2


@register
class MoaAttention(AttentionVariant):
    """Mixture of Attention Heads: each token picks heads; they share key and value projections."""

    family: ClassVar[str] = "MoA"
    sizes: ClassVar[tuple[SizeField, ...]] = (
        SizeField("n_heads", largest="n_experts"),
        SizeField("n_experts", smallest="n_heads"),
        SizeField("d_head", step=4, smallest=4),
    )
    conventions: ClassVar[tuple[str, ...]] = ("equations", "published")
    module: ClassVar[str] = "switchhead_lab.model.attention.moa:MoaMultiHeadAttention"

    kind: Literal["moa"] = "moa"
    n_heads: int = Field(ge=1)
    """Heads that each token picks (the paper's H)."""
    n_experts: int = Field(ge=1)
    """Heads to pick from: query and output projections (the paper's E)."""
    gate: Gate = "softmax"
    """Weights of the picked heads: softmax over them (official code), or sigmoid of each."""
    cv_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of the squared coefficient of variation of the experts' importance."""
    switch_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of the switch loss: fraction of tokens times mean probability, per expert."""
    z_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of the router z-loss: mean squared log-sum-exp of the router logits."""
    d_head: int = Field(ge=1)
    """Width of each head."""

    @model_validator(mode="after")
    def _heads_within_experts(self) -> Self:
        if self.n_heads > self.n_experts:
            raise ValueError(
                f"n_heads={self.n_heads} but n_experts={self.n_experts}; "
                f"a token can pick 1..{self.n_experts} heads"
            )
        return self

    def parameter_parts(self, layer: LayerSizes) -> dict[str, int]:
        """Count the parameters of one layer by their name in the module."""
        D, E, P = layer.d_model, self.n_experts, self.d_head
        return {
            "query_weight": E * D * P,
            "key_weight": P * D,
            "value_weight": P * D,
            "output_weight": E * P * D,
            **layer.positions.parameter_parts(D, 1, P, has_bias=False),
            "router.weight": E * D,
        }

    @property
    def experts(self) -> Experts:
        """Its experts."""
        return Experts(self.n_experts, self.n_heads, self.d_head)

    def expert_parts(self) -> tuple[str, ...]:
        """Return the names of the parameter parts that consist of experts."""
        return ("query_weight", "output_weight")

    def forward_cost(self, layer: LayerSizes, convention: str) -> Cost:
        """Return the cost of one layer for one sequence.

        Source: SwitchHead (arXiv:2312.07987), Eq. 15, and what its tables print.
        """
        T, C, D = layer.seq_len, layer.context_multiple, layer.d_model
        H, P, E = self.n_heads, self.d_head, self.n_experts
        position = 2 * C * T * P * layer.positions.n_score_terms
        macs = (2 * H + 2) * T * P * D + 2 * C * H * T * T * P + position * D
        floats = (2 * H + 2) * T * P + 2 * C * H * T * T
        if convention == "equations":
            return Cost(macs, floats + position)
        gating = H * PUBLISHED_K * T * P
        return Cost(macs + gating + E * D * T, floats + E * T * C + position // C)
