"""The dense feed-forward block."""

from typing import ClassVar, Literal

from pydantic import Field

from switchhead_lab.variants.base import Cost, FeedForwardVariant, LayerSizes, SizeField
from switchhead_lab.variants.registry import register


@register
class DenseFeedForward(FeedForwardVariant):
    """Two-layer feed-forward block with ReLU and biases."""

    family: ClassVar[str] = ""  # the default, which figures do not name
    # Matmul widths are padded, so executed costs grow in steps, of 64 at most.
    sizes: ClassVar[tuple[SizeField, ...]] = (SizeField("d_ff", label="d_ff", executed_step=64),)
    conventions: ClassVar[tuple[str, ...]] = ("equations", "published")
    exact_conventions: ClassVar[tuple[str, ...]] = ("equations", "published")
    module: ClassVar[str] = "switchhead_lab.model.feedforward:DenseFeedForwardBlock"

    kind: Literal["dense"] = "dense"
    d_ff: int = Field(ge=1)
    """Hidden width."""
    p_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability on the hidden activations."""

    @property
    def width(self) -> int:
        """Hidden width."""
        return self.d_ff

    def parameter_parts(self, layer: LayerSizes) -> dict[str, int]:
        """Count the parameters of one block by their name in the module."""
        D, F = layer.d_model, self.d_ff
        return {"up.weight": F * D, "up.bias": F, "down.weight": D * F, "down.bias": D}

    def forward_cost(self, layer: LayerSizes, convention: str) -> Cost:  # noqa: ARG002
        """Return the cost of one block for one sequence; the paper has no formula for it."""
        T, D, F = layer.seq_len, layer.d_model, self.d_ff
        return Cost(macs=2 * T * D * F, saved_floats=T * F)
