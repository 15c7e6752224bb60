"""The schema of an architecture: positions, attention and feed-forward variants.

A variant is a class with a literal `kind`; code that must tell variants apart matches on the class.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.config.part import Part


def require_top_k_within_experts(top_k: int, n_experts: int) -> None:
    """Refuse a `top_k` that no token could choose.

    Raises:
        ValueError: If `top_k` exceeds `n_experts`.
    """
    if top_k > n_experts:
        raise ValueError(f"top_k={top_k} but n_experts={n_experts}; use a top_k in 1..{n_experts}")


class TransformerXLPositions(Part):
    """Relative positions of Transformer-XL: a position term in the scores, with its projection."""

    kind: Literal["transformer_xl"] = "transformer_xl"


class RopePositions(Part):
    """Rotary positions: queries and keys are rotated by their position; no parameters."""

    kind: Literal["rope"] = "rope"
    rotate_fraction: float = Field(default=0.5, gt=0.0, le=1.0)
    """Fraction of each head's channels that is rotated, its first ones."""
    base: float = Field(default=10_000.0, gt=1.0)
    """Base of the geometric series of wavelengths."""


PositionsConfig = Annotated[TransformerXLPositions | RopePositions, Field(discriminator="kind")]


class DenseAttention(Part):
    """Multi-head attention in which every head has one query, key, value and output projection."""

    kind: Literal["dense"] = "dense"
    n_heads: int = Field(ge=1)
    """Attention heads (the paper's H)."""
    d_head: int = Field(ge=1)
    """Width of each head."""


class SwitchHeadShape(Part):
    """Heads, experts and top-k of a SwitchHead attention, its width left open."""

    n_heads: int = Field(ge=1)
    """Attention heads (the paper's H)."""
    n_experts: int = Field(ge=1)
    """Experts of each head's value and output projections (the paper's E)."""
    top_k: int = Field(ge=1)
    """Experts chosen per token, head and side (the paper's k)."""

    @model_validator(mode="after")
    def _top_k_within_experts(self) -> Self:
        require_top_k_within_experts(self.top_k, self.n_experts)
        return self


ExpertProjection = Literal["v", "k", "q", "o"]
Gate = Literal["sigmoid", "softmax"]
# Routed by the key position (source) or by the query position (destination).
SOURCE_PROJECTIONS = ("v", "k")
DESTINATION_PROJECTIONS = ("q", "o")


class SwitchHeadOptions(Part):
    """What SwitchHead leaves open besides its shape; each is a table of the paper."""

    expert_projections: list[ExpertProjection] = Field(default=["v", "o"], min_length=1)
    """Which of value, key, query and output projections have experts (the paper's Table 6)."""
    shared_selection: bool = False
    """One router for both sides instead of one each (the paper's Tables 4 and 8)."""
    gate: Gate = "sigmoid"
    """Weights of the chosen experts: sigmoid of each, or softmax over the chosen."""
    p_expert_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability with which an expert is left out of a token's choice in training."""

    @model_validator(mode="after")
    def _projections_make_sense(self) -> Self:
        names = self.expert_projections
        if len(set(names)) < len(names):
            raise ValueError(f"expert_projections={names} names one twice; give each once")
        if self.shared_selection and self.n_routed_sides < 2:
            raise ValueError(
                f"shared_selection has no effect with expert_projections={names}: only one side "
                "is routed; leave it out"
            )
        return self

    @property
    def n_routed_sides(self) -> int:
        """Sides that have a choice of experts: source (v, k), destination (q, o), or both."""
        return sum(
            any(name in side for name in self.expert_projections)
            for side in (SOURCE_PROJECTIONS, DESTINATION_PROJECTIONS)
        )

    @property
    def n_routers(self) -> int:
        """Routers per layer: one per routed side, or one for both."""
        return 1 if self.shared_selection else self.n_routed_sides


class SwitchHeadAttention(SwitchHeadShape, SwitchHeadOptions):
    """SwitchHead: projections with experts, one attention map per head."""

    kind: Literal["switchhead"] = "switchhead"
    d_head: int = Field(ge=1)
    """Width of each head."""


class MoaShape(Part):
    """Heads, experts and options of a Mixture of Attention Heads, its width left open."""

    n_heads: int = Field(ge=1)
    """Heads that each token picks (the paper's H)."""
    n_experts: int = Field(ge=1)
    """Heads to pick from: query and output projections (the paper's E)."""
    gate: Gate = "softmax"
    """Weights of the picked heads: softmax over the picked (official), or sigmoid of each."""
    cv_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of the squared coefficient of variation of the experts' importance."""
    switch_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of the switch loss: fraction of tokens times mean probability, per expert."""
    z_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of the router z-loss: mean squared log-sum-exp of the router logits."""

    @model_validator(mode="after")
    def _heads_within_experts(self) -> Self:
        if self.n_heads > self.n_experts:
            raise ValueError(
                f"n_heads={self.n_heads} but n_experts={self.n_experts}; "
                f"a token can pick 1..{self.n_experts} heads"
            )
        return self


class MoaAttention(MoaShape):
    """Mixture of Attention Heads: each token picks heads; key and value projection are shared."""

    kind: Literal["moa"] = "moa"
    d_head: int = Field(ge=1)
    """Width of each head."""


AttentionConfig = Annotated[
    DenseAttention | SwitchHeadAttention | MoaAttention, Field(discriminator="kind")
]


class DenseFeedForward(Part):
    """Two-layer feed-forward block with ReLU and biases."""

    kind: Literal["dense"] = "dense"
    d_ff: int = Field(ge=1)
    """Hidden width."""
    p_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability on the hidden activations."""


class SigmaMoeFeedForward(Part):
    """Sigma-MoE: feed-forward experts weighted by a sigmoid, K per token."""

    kind: Literal["sigma_moe"] = "sigma_moe"
    n_experts: int = Field(ge=1)
    """Experts."""
    d_expert: int = Field(ge=1)
    """Hidden width of each expert."""
    top_k: int = Field(ge=1)
    """Experts chosen per token."""
    p_expert_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability with which an expert is left out of a token's choice in training."""
    entropy_coefficient: float = Field(default=0.0, ge=0.0)
    """Weight of the entropy of the batch-mean router distribution, which is maximised."""

    @property
    def d_ff(self) -> int:
        """Hidden width of all experts together."""
        return self.n_experts * self.d_expert

    @model_validator(mode="after")
    def _top_k_within_experts(self) -> Self:
        require_top_k_within_experts(self.top_k, self.n_experts)
        return self


FeedForwardConfig = Annotated[DenseFeedForward | SigmaMoeFeedForward, Field(discriminator="kind")]
Direction = Literal["causal", "bidirectional"]


def require_memory_possible(direction: Direction, context_multiple: int) -> None:
    """Refuse memory of earlier chunks in a model that also looks ahead.

    Raises:
        ValueError: If there is memory and the direction is not causal.
    """
    if direction == "bidirectional" and context_multiple > 1:
        raise ValueError(
            f'context_multiple={context_multiple} but direction="bidirectional": memory of earlier '
            "chunks exists for causal models only; use context_multiple=1"
        )


class ModelConfig(Part):
    """A Transformer without its vocabulary and outputs, which belong to data and objective."""

    d_model: int = Field(ge=2, multiple_of=2)
    """Residual width; even, because the position table pairs sines with cosines."""
    n_layers: int = Field(ge=1)
    """Transformer blocks."""
    seq_len: int = Field(ge=2)
    """Length of the active chunk in tokens (the paper's T)."""
    context_multiple: int = Field(default=2, ge=1, le=16)
    """Chunks of context including the active one (the paper's C); 1 means no memory."""
    direction: Direction = Field(default="causal", exclude_if=lambda value: value == "causal")
    """Which positions a token sees: those up to its own, or all of its sequence. Absent where
    causal, so identities do not depend on it."""
    positions: PositionsConfig = TransformerXLPositions()
    """Position encoding."""
    attention: AttentionConfig
    """Attention variant."""
    feedforward: FeedForwardConfig
    """Feed-forward variant."""

    @model_validator(mode="after")
    def _memory_is_possible(self) -> Self:
        require_memory_possible(self.direction, self.context_multiple)
        return self

    @property
    def memory_len(self) -> int:
        """Tokens of memory in front of the active chunk, (C - 1) * T."""
        return (self.context_multiple - 1) * self.seq_len
