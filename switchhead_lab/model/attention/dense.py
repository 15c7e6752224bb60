"""Dense multi-head attention, the baseline.

Letters: B batch, T query positions, S key positions (memory + chunk), D d_model, H heads, P d_head.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_lab.config.schema import DenseAttention
from switchhead_lab.model.initialisation import init_normal
from switchhead_lab.model.positions import attend, in_compute_dtype, relative_position_table


class DenseXLAttention(nn.Module):
    """Multi-head attention with Transformer-XL relative positions.

    `y = sum_h softmax(scale * ((q_h + u_h) . k_h + (q_h + v_h) . W_pos,h R)) V_h W_O,h`, causal;
    u and v are learned per head (zero at start), scale is learned (1 / sqrt(P) at start).

    Source: Transformer-XL (arXiv:1901.02860), as in the baseline of SwitchHead (arXiv:2312.07987).
    Symbols: `content_bias` u, `position_bias` v, `score_scale` scale.
    """

    def __init__(self, config: DenseAttention, d_model: int) -> None:
        super().__init__()
        self.n_heads, self.d_head = config.n_heads, config.d_head
        width = config.n_heads * config.d_head
        self.query_weight = nn.Parameter(torch.empty(width, d_model))
        self.key_weight = nn.Parameter(torch.empty(width, d_model))
        self.value_weight = nn.Parameter(torch.empty(width, d_model))
        self.position_weight = nn.Parameter(torch.empty(width, d_model))
        self.output_weight = nn.Parameter(torch.empty(d_model, width))
        self.content_bias = nn.Parameter(torch.empty(config.n_heads, config.d_head))
        self.position_bias = nn.Parameter(torch.empty(config.n_heads, config.d_head))
        self.score_scale = nn.Parameter(torch.empty(1))

    @torch.no_grad()
    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise every parameter."""
        for weight in (
            self.query_weight,
            self.key_weight,
            self.value_weight,
            self.position_weight,
            self.output_weight,
        ):
            init_normal(weight, weight.shape[1], scale, generator)
        self.content_bias.zero_()
        self.position_bias.zero_()
        self.score_scale.fill_(1.0 / math.sqrt(self.d_head))

    def forward(self, context_BSD: Tensor, seq_len: int) -> Tensor:
        """Attend from the last `seq_len` positions to all positions up to their own.

        Args:
            context_BSD: Shape [B, S, D], normalised memory and chunk.
            seq_len: Query positions T, 1 <= T <= S.

        Returns:
            Shape [B, T, D].
        """
        n_keys, d_model = context_BSD.shape[1:]
        context_BSD = in_compute_dtype(context_BSD)
        query_HBTP = self._heads(F.linear(context_BSD[:, -seq_len:], self.query_weight))
        dtype = query_HBTP.dtype
        scale = self.score_scale.to(dtype)
        table_RD = relative_position_table(n_keys, d_model, context_BSD.device)
        position_key_HRP = self._heads(F.linear(table_RD.to(dtype), self.position_weight))
        mixed_HBTP = attend(
            (query_HBTP + self.content_bias.to(dtype)[:, None, None]) * scale,
            (query_HBTP + self.position_bias.to(dtype)[:, None, None]) * scale,
            self._heads(F.linear(context_BSD, self.key_weight)),
            self._heads(F.linear(context_BSD, self.value_weight)),
            position_key_HRP,
        )
        return F.linear(mixed_HBTP.permute(1, 2, 0, 3).flatten(2), self.output_weight)

    def _heads(self, x: Tensor) -> Tensor:
        """Split [..., H * P] into [H, ..., P]."""
        return x.unflatten(-1, (self.n_heads, self.d_head)).movedim(-2, 0)
