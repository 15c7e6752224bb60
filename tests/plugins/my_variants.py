"""A user's plugin: grouped-query attention, in which query heads share key and value heads.

Written as an outsider would; the built-in one is `variants/grouped_query.py`.

Source: Ainslie et al., arXiv:2305.13245.
"""

from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from switchhead_kernels.attention_input import attention_input
from switchhead_lab.model.initialisation import init_normal
from switchhead_lab.model.positions import build_positions, merge_heads, split_heads
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.model.sublayer import SublayerOutput
from switchhead_lab.variants.base import AttentionVariant, Cost, LayerSizes, SizeField
from switchhead_lab.variants.positions import PositionsConfig
from switchhead_lab.variants.registry import register


@register
class GroupedQueryAttention(AttentionVariant):
    """Grouped-query attention."""

    family: ClassVar[str] = "grouped-query"
    sizes: ClassVar[tuple[SizeField, ...]] = (
        SizeField("n_heads", step="n_groups", smallest="n_groups"),
        SizeField("d_head"),
    )
    conventions: ClassVar[tuple[str, ...]] = ("equations",)
    module: ClassVar[str] = "my_variants:GroupedQueryLayer"

    kind: Literal["my_grouped_query"] = "my_grouped_query"
    n_heads: int = Field(ge=1)
    """Query heads."""
    n_groups: int = Field(ge=1)
    """Key and value heads, each shared by the same number of query heads."""
    d_head: int = Field(ge=1)
    """Width of each head."""

    @model_validator(mode="after")
    def _groups_are_equal(self) -> Self:
        if self.n_heads % self.n_groups:
            raise ValueError(
                f"n_heads={self.n_heads} is not a multiple of n_groups={self.n_groups}; use one"
            )
        return self

    def parameter_parts(self, layer: LayerSizes) -> dict[str, int]:
        """Count the parameters of one layer by their name in the module."""
        D, H, G, P = layer.d_model, self.n_heads, self.n_groups, self.d_head
        return {
            "query_weight": H * P * D,
            "key_weight": G * P * D,
            "value_weight": G * P * D,
            "output_weight": H * P * D,
            **layer.positions.parameter_parts(D, H, P, has_bias=False),
        }

    def forward_cost(self, layer: LayerSizes, convention: str) -> Cost:
        """Return the cost of one layer for one sequence, by the paper's conventions."""
        T, C, D = layer.seq_len, layer.context_multiple, layer.d_model
        H, G, P = self.n_heads, self.n_groups, self.d_head
        position = 2 * C * H * T * P * layer.positions.n_score_terms
        return Cost(
            macs=(2 * H + 2 * G) * T * P * D + 2 * C * H * T * T * P + position * D,
            saved_floats=(2 * H + 2 * G) * T * P + 2 * C * H * T * T + position,
        )


class GroupedQueryLayer(nn.Module):
    """Computes grouped-query attention."""

    def __init__(
        self, config: GroupedQueryAttention, positions: PositionsConfig, d_model: int
    ) -> None:
        super().__init__()
        self.config = config
        H, G, P = config.n_heads, config.n_groups, config.d_head
        self.query_weight = nn.Parameter(torch.empty(H * P, d_model))
        self.key_weight = nn.Parameter(torch.empty(G * P, d_model))
        self.value_weight = nn.Parameter(torch.empty(G * P, d_model))
        self.output_weight = nn.Parameter(torch.empty(d_model, H * P))
        self.positions = build_positions(positions, d_model, H, P, has_bias=False)

    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise every parameter."""
        for weight in (self.query_weight, self.key_weight, self.value_weight, self.output_weight):
            init_normal(weight, weight.shape[1], scale, generator)
        self.positions.reset_parameters(scale, generator)

    def forward(self, context_BSD: Tensor, plan: SequencePlan) -> SublayerOutput:
        """Attend from the last positions to those that the plan allows."""
        given, P = attention_input(context_BSD, plan.n_queries), self.config.d_head
        query = split_heads(F.linear(given.chunk_BTD, self.query_weight), P)
        key, value = (
            split_heads(F.linear(given.context_BSD, weight), P).repeat_interleave(
                self.config.n_heads // self.config.n_groups, dim=0
            )
            for weight in (self.key_weight, self.value_weight)
        )
        mixed = self.positions.attend(query, key, value, plan)
        return SublayerOutput(F.linear(merge_heads(mixed), self.output_weight))
