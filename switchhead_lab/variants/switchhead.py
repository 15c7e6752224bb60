"""SwitchHead attention."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.variants.base import (
    PROJECTION_NAMES,
    AttentionVariant,
    Cost,
    Experts,
    Gate,
    LayerSizes,
    SizeField,
    require_top_k_within_experts,
)
from switchhead_lab.variants.registry import register

ExpertProjection = Literal["v", "k", "q", "o"]
# Routed by the key position (source) or by the query position (destination).
SOURCE_PROJECTIONS = ("v", "k")
DESTINATION_PROJECTIONS = ("q", "o")


@register
class SwitchHeadAttention(AttentionVariant):
    """SwitchHead: projections with experts, one attention map per head."""

    family: ClassVar[str] = "SwitchHead"
    sizes: ClassVar[tuple[SizeField, ...]] = (
        SizeField("n_heads"),
        SizeField("n_experts", smallest="top_k"),
        SizeField("top_k", largest="n_experts", is_matchable=False),
        SizeField("d_head", step=4, smallest=4),
    )
    conventions: ClassVar[tuple[str, ...]] = ("equations", "published")
    module: ClassVar[str] = "switchhead_lab.model.attention.switchhead:SwitchHeadMultiHeadAttention"

    kind: Literal["switchhead"] = "switchhead"
    n_heads: int = Field(ge=1)
    """Attention heads (the paper's H)."""
    n_experts: int = Field(ge=1)
    """Experts of each head's value and output projections (the paper's E)."""
    top_k: int = Field(ge=1)
    """Experts chosen per token, head and side (the paper's k)."""
    d_head: int = Field(ge=1)
    """Width of each head."""
    expert_projections: list[ExpertProjection] = Field(default=["v", "o"], min_length=1)
    """Which of value, key, query and output projections have experts (the paper's Table 6)."""
    shared_selection: bool = False
    """One router for both sides instead of one each (the paper's Tables 4 and 8)."""
    gate: Gate = "sigmoid"
    """Weights of the chosen experts: sigmoid of each, or softmax over the chosen."""
    p_expert_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability of dropping an expert from a token's choice in training."""

    @model_validator(mode="after")
    def _top_k_within_experts(self) -> Self:
        require_top_k_within_experts(self.top_k, self.n_experts)
        return self

    @model_validator(mode="after")
    def _projections_make_sense(self) -> Self:
        names = self.expert_projections
        if len(set(names)) < len(names):
            raise ValueError(f"expert_projections={names} has duplicates; list each once")
        if self.shared_selection and self.n_routed_sides < 2:
            raise ValueError(
                f"shared_selection has no effect with expert_projections={names}: only one side "
                "is routed; remove it"
            )
        return self

    @classmethod
    def examples(cls) -> Sequence[Self]:
        """Return examples that vary the expert projections, and one that chooses all experts."""
        base = cls(n_heads=2, d_head=5, n_experts=4, top_k=2)
        every = base.model_copy(
            update={"expert_projections": ["v", "k", "q", "o"], "shared_selection": True}
        )
        one = base.model_copy(update={"expert_projections": ["q"], "gate": "softmax"})
        return base, every, one, cls(n_heads=1, d_head=4, n_experts=3, top_k=3)

    @property
    def n_routed_sides(self) -> int:
        """Sides that choose experts: source (v, k), destination (q, o), or both."""
        return sum(
            any(name in side for name in self.expert_projections)
            for side in (SOURCE_PROJECTIONS, DESTINATION_PROJECTIONS)
        )

    @property
    def n_routers(self) -> int:
        """Routers per layer: one per routed side, or one for both."""
        return 1 if self.shared_selection else self.n_routed_sides

    def parameter_parts(self, layer: LayerSizes) -> dict[str, int]:
        """Count the parameters of one layer by their name in the module."""
        D, H, P, E = layer.d_model, self.n_heads, self.d_head, self.n_experts
        experts = set(self.expert_projections)
        sides = {"value_router": SOURCE_PROJECTIONS, "output_router": DESTINATION_PROJECTIONS}
        if self.shared_selection:
            del sides["output_router"]
        return {
            **{
                f"{name}_weight": H * P * D * (E if letter in experts else 1)
                for letter, name in PROJECTION_NAMES.items()
            },
            **layer.positions.parameter_parts(D, H, P, has_bias=False),
            **{
                f"{router}.weight": H * E * D for router, side in sides.items() if experts & {*side}
            },
        }

    @property
    def experts(self) -> Experts:
        """Its experts."""
        return Experts(self.n_experts, self.top_k, self.d_head)

    def expert_parts(self) -> tuple[str, ...]:
        """Return the names of the parameter parts that consist of experts."""
        return tuple(f"{PROJECTION_NAMES[name]}_weight" for name in self.expert_projections)

    def forward_cost(self, layer: LayerSizes, convention: str) -> Cost:
        """Return the cost of one layer for one sequence.

        Source: SwitchHead (arXiv:2312.07987), Eq. 13 and 14, or its printed tables, which
        omit the factor C in the position term and H in the router's.
        """
        T, C, D = layer.seq_len, layer.context_multiple, layer.d_model
        H, P, E, K = self.n_heads, self.d_head, self.n_experts, self.top_k
        n, s = len(self.expert_projections), self.n_routers
        position = 2 * C * H * T * P * layer.positions.n_score_terms
        routed = n * H * T * K * P * (D + 1)
        macs = (4 - n) * H * T * P * D + routed + 2 * C * H * T * T * P
        floats = 4 * H * T * P + 2 * C * H * T * T
        if convention == "equations":
            return Cost(macs + position * D, floats + position)
        return Cost(
            macs + s * E * D * T * C + position * D // C, floats + s * E * T * C + position // C
        )
