"""Grouped-query attention."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.variants.base import AttentionVariant, Cost, LayerSizes, SizeField
from switchhead_lab.variants.registry import register


@register
class GroupedQueryAttention(AttentionVariant):
    """Dense attention in which groups of query heads share a key and a value head.

    `n_kv_heads = n_heads` is dense attention, `n_kv_heads = 1` multi-query attention.

    Source: Ainslie et al. (arXiv:2305.13245), Sec. 2.2.
    """

    family: ClassVar[str] = "grouped-query"
    # Without n_kv_heads: its values are the divisors of n_heads, which have no fixed step.
    sizes: ClassVar[tuple[SizeField, ...]] = (
        SizeField("n_heads", step="n_kv_heads", smallest="n_kv_heads"),
        SizeField("d_head"),
    )
    # No table of the SwitchHead paper prints a grouped-query model, so "published" has no formula.
    conventions: ClassVar[tuple[str, ...]] = ("equations",)
    module: ClassVar[str] = (
        "switchhead_lab.model.attention.grouped_query:GroupedQueryMultiHeadAttention"
    )

    kind: Literal["grouped_query"] = "grouped_query"
    n_heads: int = Field(ge=1)
    """Query heads (the paper's H)."""
    n_kv_heads: int = Field(ge=1)
    """Key and value heads (the paper's G); divides `n_heads`."""
    d_head: int = Field(ge=1)
    """Width of each head."""

    @model_validator(mode="after")
    def _groups_are_equal(self) -> Self:
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_heads={self.n_heads} but n_kv_heads={self.n_kv_heads}; use a multiple of "
                f"{self.n_kv_heads} for n_heads, or a divisor of {self.n_heads} for n_kv_heads"
            )
        return self

    def parameter_parts(self, layer: LayerSizes) -> dict[str, int]:
        """Count the parameters of one layer by their name in the module."""
        D, H, G, P = layer.d_model, self.n_heads, self.n_kv_heads, self.d_head
        return {
            "query_weight": H * P * D,
            "key_weight": G * P * D,
            "value_weight": G * P * D,
            "output_weight": H * P * D,
            **layer.positions.parameter_parts(D, H, P, has_bias=True),
        }

    def forward_cost(self, layer: LayerSizes, convention: str) -> Cost:  # noqa: ARG002
        """Return the cost of one layer for one sequence.

        Source: SwitchHead (arXiv:2312.07987), Eq. 11 and 12, with `n_kv_heads` projections of keys
        and values, priced like the single ones of Eq. 15. The paper itself has no grouped queries.
        """
        T, C, D = layer.seq_len, layer.context_multiple, layer.d_model
        H, G, P = self.n_heads, self.n_kv_heads, self.d_head
        projections = (2 * H + 2 * G) * T * P
        position = 2 * C * T * P * layer.positions.n_score_terms
        return Cost(
            macs=projections * D + H * (2 * C * T * T * P + position * D),
            saved_floats=projections + H * (2 * C * T * T + position),
        )
