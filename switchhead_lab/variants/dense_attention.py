"""Dense multi-head attention."""

from typing import ClassVar, Literal

from pydantic import Field

from switchhead_lab.variants.base import (
    PROJECTION_NAMES,
    AttentionVariant,
    Cost,
    LayerSizes,
    SizeField,
)
from switchhead_lab.variants.registry import register


@register
class DenseAttention(AttentionVariant):
    """Multi-head attention in which every head has one query, key, value and output projection."""

    family: ClassVar[str] = "dense"
    sizes: ClassVar[tuple[SizeField, ...]] = (SizeField("n_heads"), SizeField("d_head"))
    conventions: ClassVar[tuple[str, ...]] = ("equations", "published")
    # Head-matched: fewer, wider heads with the baseline's parameters.
    keep_parameters_over: ClassVar[tuple[str, ...]] = ("d_head",)
    module: ClassVar[str] = "switchhead_lab.model.attention.dense:DenseMultiHeadAttention"

    kind: Literal["dense"] = "dense"
    n_heads: int = Field(ge=1)
    """Attention heads (the paper's H)."""
    d_head: int = Field(ge=1)
    """Width of each head."""

    def parameter_parts(self, layer: LayerSizes) -> dict[str, int]:
        """Count the parameters of one layer by their name in the module."""
        D, H, P = layer.d_model, self.n_heads, self.d_head
        return {
            **{f"{name}_weight": H * P * D for name in PROJECTION_NAMES.values()},
            **layer.positions.parameter_parts(D, H, P, has_bias=True),
        }

    def forward_cost(self, layer: LayerSizes, convention: str) -> Cost:  # noqa: ARG002
        """Return the cost of one layer for one sequence; the paper's text and tables agree.

        Source: SwitchHead (arXiv:2312.07987), Eq. 11 and 12.
        """
        T, C, D = layer.seq_len, layer.context_multiple, layer.d_model
        H, P, n_terms = self.n_heads, self.d_head, layer.positions.n_score_terms
        position = 2 * C * T * P * n_terms
        return Cost(
            macs=H * (4 * T * P * D + 2 * C * T * T * P + position * D),
            saved_floats=H * (4 * T * P + 2 * C * T * T + position),
        )
