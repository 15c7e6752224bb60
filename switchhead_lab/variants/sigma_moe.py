"""The sigma-MoE feed-forward block."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.variants.base import (
    Cost,
    Experts,
    FeedForwardVariant,
    LayerSizes,
    SizeField,
    require_top_k_within_experts,
)
from switchhead_lab.variants.registry import register


@register
class SigmaMoeFeedForward(FeedForwardVariant):
    """Sigma-MoE: feed-forward experts weighted by a sigmoid, K per token."""

    family: ClassVar[str] = "sigma-MoE"
    sizes: ClassVar[tuple[SizeField, ...]] = (
        SizeField("n_experts", label="feedforward.n_experts", smallest="top_k"),
        SizeField("top_k", label="feedforward.top_k", largest="n_experts", is_matchable=False),
        # Step 1: nothing else absorbs what a coarser step would leave of the budget.
        SizeField("d_expert", label="d_expert"),
    )
    conventions: ClassVar[tuple[str, ...]] = ("equations", "published")
    exact_conventions: ClassVar[tuple[str, ...]] = ("equations", "published")
    module: ClassVar[str] = "switchhead_lab.model.feedforward:SigmaMoeBlock"

    kind: Literal["sigma_moe"] = "sigma_moe"
    n_experts: int = Field(ge=1)
    """Experts."""
    d_expert: int = Field(ge=1)
    """Hidden width of each expert."""
    top_k: int = Field(ge=1)
    """Experts chosen per token."""
    p_expert_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability of dropping an expert from a token's choice in training."""
    entropy_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of the entropy of the batch-mean router distribution, which is maximised."""

    @property
    def width(self) -> int:
        """Hidden width, summed over experts."""
        return self.n_experts * self.d_expert

    @model_validator(mode="after")
    def _top_k_within_experts(self) -> Self:
        require_top_k_within_experts(self.top_k, self.n_experts)
        return self

    def parameter_parts(self, layer: LayerSizes) -> dict[str, int]:
        """Count the parameters of one block by their name in the module."""
        D, E, F = layer.d_model, self.n_experts, self.d_expert
        return {"up_weight": E * D * F, "down_weight": E * F * D, "router.weight": E * D}

    @property
    def experts(self) -> Experts:
        """Its experts."""
        return Experts(self.n_experts, self.top_k, self.d_expert)

    def expert_parts(self) -> tuple[str, ...]:
        """Return the names of the parameter parts that consist of experts."""
        return ("up_weight", "down_weight")

    def forward_cost(self, layer: LayerSizes, convention: str) -> Cost:  # noqa: ARG002
        """Return the cost of one block for one sequence, router included; not in the paper."""
        T, D = layer.seq_len, layer.d_model
        E, F, K = self.n_experts, self.d_expert, self.top_k
        return Cost(macs=T * (2 * K * D * F + E * D), saved_floats=T * (K * F + E))
