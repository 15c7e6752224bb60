"""The schema of an architecture: sizes, positions, attention and feed-forward variants."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.variants import builtin  # noqa: F401 (registers the lab's own)
from switchhead_lab.variants.base import AttentionVariant, FeedForwardVariant, LayerSizes
from switchhead_lab.variants.positions import PositionsConfig, TransformerXLPositions
from switchhead_lab.variants.registry import any_of

AttentionConfig = Annotated[AttentionVariant, any_of("attention")]
FeedForwardConfig = Annotated[FeedForwardVariant, any_of("feedforward")]
Direction = Literal["causal", "bidirectional"]


class ModelSizes(FrozenModel):
    """What all models of a sweep share of their architecture."""

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

    @model_validator(mode="after")
    def _memory_is_possible(self) -> Self:
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
        """What the parameters and costs of a block depend on besides its own fields."""
        return LayerSizes(self.d_model, self.seq_len, self.context_multiple, self.positions)


class ModelConfig(ModelSizes):
    """A Transformer without its vocabulary and outputs, which belong to data and objective."""

    attention: AttentionConfig
    """Attention variant."""
    feedforward: FeedForwardConfig
    """Feed-forward variant."""

    @property
    def conventions(self) -> list[str]:
        """Accounting conventions that price both blocks by formula."""
        return [c for c in self.attention.conventions if c in self.feedforward.conventions]

    @property
    def family(self) -> str:
        """Name in figures: attention's, with the feed-forward's unless that is the ordinary one."""
        return " + ".join(filter(None, (self.attention.family, self.feedforward.family)))
