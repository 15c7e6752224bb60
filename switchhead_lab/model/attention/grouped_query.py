"""Grouped-query attention: groups of query heads share a key and a value head.

Letters: B batch, S key positions (memory + chunk), D d_model, H query heads, G key and value heads,
P d_head.
"""

import torch
from torch import Tensor, nn

from switchhead_lab.model.attention.dense import DenseMultiHeadAttention
from switchhead_lab.variants.grouped_query import GroupedQueryAttention
from switchhead_lab.variants.positions import PositionsConfig


class GroupedQueryMultiHeadAttention(DenseMultiHeadAttention):
    """Grouped-query attention: `y = sum_h softmax(scores_h) V_g(h) W_O,h`, `g(h) = h G // H`.

    The scores are those of dense attention with the keys of head g(h); with Transformer-XL
    positions every query head has its own position projection and learned terms.

    Source: Ainslie et al. (arXiv:2305.13245), Sec. 2.2.
    """

    def __init__(
        self, config: GroupedQueryAttention, positions: PositionsConfig, d_model: int
    ) -> None:
        super().__init__(config, positions, d_model)
        self.n_sharing = config.n_heads // config.n_kv_heads
        width = config.n_kv_heads * config.d_head
        self.key_weight = nn.Parameter(torch.empty(width, d_model))
        self.value_weight = nn.Parameter(torch.empty(width, d_model))

    def _keys_or_values(self, context_BSD: Tensor, weight: Tensor) -> Tensor:
        """Project to the key or value of each query head's group, [H, B, S, P]."""
        by_group = super()._keys_or_values(context_BSD, weight)
        return by_group.repeat_interleave(self.n_sharing, dim=0)
