"""Grouped-query attention: groups of query heads share a key and a value head.

Letters: B batch, T query positions, S key positions (memory + chunk), D d_model, H query heads,
G key and value heads, P d_head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_lab.model.attention_input import attention_input
from switchhead_lab.model.initialisation import init_normal
from switchhead_lab.model.positions import build_positions, merge_heads, split_heads
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.model.sublayer import SublayerOutput
from switchhead_lab.variants.grouped_query import GroupedQueryAttention
from switchhead_lab.variants.positions import PositionsConfig


class GroupedQueryMultiHeadAttention(nn.Module):
    """Grouped-query attention: `y = sum_h softmax(scores_h) V_g(h) W_O,h`, `g(h) = h G // H`.

    The scores are those of dense attention with the keys of head g(h); with Transformer-XL
    positions every query head has its own position projection and learned terms.

    Source: Ainslie et al. (arXiv:2305.13245), Sec. 2.2.
    """

    def __init__(
        self, config: GroupedQueryAttention, positions: PositionsConfig, d_model: int
    ) -> None:
        super().__init__()
        H, G, P = config.n_heads, config.n_kv_heads, config.d_head
        self.d_head, self.n_sharing = P, H // G
        self.query_weight = nn.Parameter(torch.empty(H * P, d_model))
        self.key_weight = nn.Parameter(torch.empty(G * P, d_model))
        self.value_weight = nn.Parameter(torch.empty(G * P, d_model))
        self.output_weight = nn.Parameter(torch.empty(d_model, H * P))
        self.positions = build_positions(positions, d_model, H, P, has_bias=True)

    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise every parameter."""
        for weight in (self.query_weight, self.key_weight, self.value_weight):
            init_normal(weight, weight.shape[1], scale, generator)
        self.positions.reset_parameters(scale, generator)
        init_normal(self.output_weight, self.output_weight.shape[1], scale, generator)

    def forward(self, context_BSD: Tensor, plan: SequencePlan) -> SublayerOutput:
        """Attend from the last T positions to those that the plan lets them see.

        Args:
            context_BSD: Shape [B, S, D], normalised memory and chunk.
            plan: Queries, keys and what lies between them.
        """
        given = attention_input(context_BSD, plan.n_queries)
        mixed_HBTP = self.positions.attend(
            split_heads(F.linear(given.chunk_BTD, self.query_weight), self.d_head),
            self._shared(F.linear(given.context_BSD, self.key_weight)),
            self._shared(F.linear(given.context_BSD, self.value_weight)),
            plan,
        )
        return SublayerOutput(F.linear(merge_heads(mixed_HBTP), self.output_weight))

    def _shared(self, x: Tensor) -> Tensor:
        """Give each query head the key or value of its group: [B, S, G * P] to [H, B, S, P]."""
        return split_heads(x, self.d_head).repeat_interleave(self.n_sharing, dim=0)
