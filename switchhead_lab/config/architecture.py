"""The schema of an architecture: sizes, positions, attention and feed-forward variants."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.variants import builtin  # noqa: F401 (registers the built-in ones)
from switchhead_lab.variants.base import AttentionVariant, FeedForwardVariant, LayerSizes
from switchhead_lab.variants.positions import PositionsConfig, TransformerXLPositions
from switchhead_lab.variants.registry import any_of

AttentionConfig = Annotated[AttentionVariant, any_of("attention")]
FeedForwardConfig = Annotated[FeedForwardVariant, any_of("feedforward")]
Direction = Literal["causal", "bidirectional"]


class ModelSizes(FrozenModel):
    """Architecture fields that all models of a sweep share."""

    d_model: int = Field(ge=2, multiple_of=2)
    """Residual width; even, because the position table pairs sines with cosines."""
    n_layers: int = Field(ge=1)
    """Transformer blocks."""
    seq_len: int = Field(ge=2)
    """Length of the active chunk in tokens (the paper's T)."""
    context_multiple: int = Field(default=2, ge=1, le=16)
    """Chunks of context including the active one (the paper's C); 1 means no memory."""
    direction: Direction = Field(default="causal", exclude_if=lambda value: value == "causal")
    """Positions that a token sees: up to its own, or its whole sequence. Omitted if causal, which
    keeps older identities."""
    positions: PositionsConfig = TransformerXLPositions()
    """Position encoding."""

    @model_validator(mode="after")
    def _memory_is_causal(self) -> Self:
        if self.direction == "bidirectional" and self.context_multiple > 1:
            raise ValueError(
                f'context_multiple={self.context_multiple} but direction="bidirectional": memory '
                "of earlier chunks exists for causal models only; use context_multiple=1"
            )
        return self

    @property
    def memory_len(self) -> int:
        """Tokens of memory in front of the active chunk, (C - 1) * T."""
        return (self.context_multiple - 1) * self.seq_len

    @property
    def layer(self) -> LayerSizes:
        """The sizes around a block that its parameters and costs depend on."""
        return LayerSizes(self.d_model, self.seq_len, self.context_multiple, self.positions)


class ModelConfig(ModelSizes):
    """A Transformer without vocabulary and output layer, which follow from data and objective."""

    attention: AttentionConfig
    """Attention variant."""
    feedforward: FeedForwardConfig
    """Feed-forward variant."""

    @property
    def conventions(self) -> list[str]:
        """Accounting conventions with formulas for both blocks."""
        return [c for c in self.attention.conventions if c in self.feedforward.conventions]

    @property
    def family(self) -> str:
        """Name in figures: the attention's, plus the feed-forward's unless it is dense."""
        return " + ".join(filter(None, (self.attention.family, self.feedforward.family)))
