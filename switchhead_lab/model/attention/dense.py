"""Dense multi-head attention, the baseline.

Letters: B batch, T query positions, S key positions (memory + chunk), D d_model, H heads, P d_head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_kernels.attention_input import attention_input
from switchhead_lab.model.initialisation import init_normal
from switchhead_lab.model.positions import (
    build_positions,
    merge_heads,
    split_heads,
)
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.model.sublayer import SublayerOutput
from switchhead_lab.variants.base import AttentionVariant
from switchhead_lab.variants.positions import PositionsConfig


class DenseMultiHeadAttention(nn.Module):
    """Multi-head attention: `y = sum_h softmax(scores_h) V_h W_O,h`.

    The position encoding computes the scores; Transformer-XL positions have the learned terms u, v
    and scale.

    Source: baseline of SwitchHead (arXiv:2312.07987).
    """

    def __init__(self, config: AttentionVariant, positions: PositionsConfig, d_model: int) -> None:
        super().__init__()
        self.d_head = config.d_head
        width = config.n_heads * config.d_head
        self.query_weight = nn.Parameter(torch.empty(width, d_model))
        self.key_weight = nn.Parameter(torch.empty(width, d_model))
        self.value_weight = nn.Parameter(torch.empty(width, d_model))
        self.output_weight = nn.Parameter(torch.empty(d_model, width))
        self.positions = build_positions(
            positions, d_model, config.n_heads, config.d_head, has_bias=True
        )

    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise every parameter."""
        for weight in (self.query_weight, self.key_weight, self.value_weight):
            init_normal(weight, weight.shape[1], scale, generator)
        self.positions.reset_parameters(scale, generator)
        init_normal(self.output_weight, self.output_weight.shape[1], scale, generator)

    def forward(self, context_BSD: Tensor, plan: SequencePlan) -> SublayerOutput:
        """Attend from the last T positions to the keys that the plan allows.

        Args:
            context_BSD: Shape [B, S, D], normalised memory and chunk.
            plan: Queries, keys, mask and position table.
        """
        given = attention_input(context_BSD, plan.n_queries)
        mixed_HBTP = self.positions.attend(
            split_heads(F.linear(given.chunk_BTD, self.query_weight), self.d_head),
            self._keys_or_values(given.context_BSD, self.key_weight),
            self._keys_or_values(given.context_BSD, self.value_weight),
            plan,
        )
        return SublayerOutput(F.linear(merge_heads(mixed_HBTP), self.output_weight))

    def _keys_or_values(self, context_BSD: Tensor, weight: Tensor) -> Tensor:
        """Project to the keys or values of each head, [H, B, S, P]."""
        return split_heads(F.linear(context_BSD, weight), self.d_head)
