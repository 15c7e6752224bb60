"""Position encodings."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from switchhead_lab.frozen_model import FrozenModel


class TransformerXLPositions(FrozenModel):
    """Relative positions of Transformer-XL: a position term in the scores, with its projection."""

    abbreviation: ClassVar[str] = "xl"

    kind: Literal["transformer_xl"] = "transformer_xl"

    @property
    def n_score_terms(self) -> int:
        """Position terms in the attention scores."""
        return 1

    def parameter_parts(
        self, d_model: int, n_heads: int, d_head: int, *, has_bias: bool
    ) -> dict[str, int]:
        """Count the position parameters of one attention layer by name.

        Args:
            d_model: Residual width.
            n_heads: Heads with their own position projection.
            d_head: Width of each.
            has_bias: Whether there are biases for content and position, and a scale.
        """
        width = n_heads * d_head
        parts = {"positions.weight": width * d_model}
        if has_bias:
            parts |= {
                "positions.content_bias": width,
                "positions.position_bias": width,
                "positions.score_scale": 1,
            }
        return parts


class RopePositions(FrozenModel):
    """Rotary positions: queries and keys are rotated by their position; no parameters."""

    abbreviation: ClassVar[str] = "rope"

    kind: Literal["rope"] = "rope"
    rotate_fraction: float = Field(default=0.5, gt=0.0, le=1.0)
    """Fraction of each head's channels to rotate, starting from the first."""
    base: float = Field(default=10_000.0, gt=1.0)
    """Base of the geometric series of wavelengths."""

    @property
    def n_score_terms(self) -> int:
        """Position terms in the attention scores."""
        return 0

    def parameter_parts(
        self,
        d_model: int,  # noqa: ARG002
        n_heads: int,  # noqa: ARG002
        d_head: int,  # noqa: ARG002
        *,
        has_bias: bool,  # noqa: ARG002
    ) -> dict[str, int]:
        """Return no parameters."""
        return {}


Positions = TransformerXLPositions | RopePositions
PositionsConfig = Annotated[Positions, Field(discriminator="kind")]
