"""SwitchHead attention: expert value and output projections, one attention map per head.

Letters: B batch, T query positions, S key positions (memory + chunk), D d_model, H heads, P d_head,
E experts per head, K chosen per token, N tokens (B * T or B * S).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_kernels.expert_matmul import project_outputs, project_values
from switchhead_lab.config.schema import SwitchHeadAttention
from switchhead_lab.model.initialisation import init_normal
from switchhead_lab.model.positions import attend, in_compute_dtype, relative_position_table
from switchhead_lab.model.router import SigmoidRouter


class SwitchHeadXLAttention(nn.Module):
    """SwitchHead attention with Transformer-XL relative positions.

    `V_h = sum_{e in E_S} s_S[e] x W_V[h, e]` and
    `y = sum_h sum_{e in E_D} s_D[e] (A_h V_h) W_O[h, e]` with `s = sigmoid(x W_router[h])`;
    E_S and E_D are the K largest of s_S (source side, key positions) and of s_D (destination side,
    query positions).

    Source: SwitchHead (arXiv:2312.07987), Sec. 2.2. No biases u, v; the scale is 1 / sqrt(P).
    Symbols: `value_router` W_S, `output_router` W_D, `value_weight` W_V, `output_weight` W_O.
    """

    def __init__(self, config: SwitchHeadAttention, d_model: int) -> None:
        super().__init__()
        H, P, E = config.n_heads, config.d_head, config.n_experts
        self.n_heads, self.d_head = H, P
        self.query_weight = nn.Parameter(torch.empty(H * P, d_model))
        self.key_weight = nn.Parameter(torch.empty(H * P, d_model))
        self.position_weight = nn.Parameter(torch.empty(H * P, d_model))
        self.value_weight = nn.Parameter(torch.empty(H, E, d_model, P))
        self.output_weight = nn.Parameter(torch.empty(H, E, P, d_model))
        self.value_router = SigmoidRouter(d_model, H, E, config.top_k)
        self.output_router = SigmoidRouter(d_model, H, E, config.top_k)

    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise every parameter; fan-in as in the dense layer of the same heads."""
        H, _, D, P = self.value_weight.shape
        for weight in (self.query_weight, self.key_weight, self.position_weight):
            init_normal(weight, D, scale, generator)
        init_normal(self.value_weight, D, scale, generator)
        init_normal(self.output_weight, H * P, scale, generator)
        self.value_router.reset_parameters(scale, generator)
        self.output_router.reset_parameters(scale, generator)

    def forward(self, context_BSD: Tensor, seq_len: int) -> Tensor:
        """Attend from the last `seq_len` positions to all positions up to their own.

        Args:
            context_BSD: Shape [B, S, D], normalised memory and chunk.
            seq_len: Query positions T, 1 <= T <= S.

        Returns:
            Shape [B, T, D].
        """
        B, S, D = context_BSD.shape
        full_SD, full_TD = context_BSD.flatten(0, 1), context_BSD[:, -seq_len:].flatten(0, 1)
        context_BSD = in_compute_dtype(context_BSD)
        query_HBTP = self._heads(F.linear(context_BSD[:, -seq_len:], self.query_weight))
        query_HBTP = query_HBTP * (1.0 / math.sqrt(self.d_head))
        table_RD = relative_position_table(S, D, context_BSD.device).to(query_HBTP.dtype)

        source = self.value_router(full_SD)
        value_NHP = project_values(
            context_BSD.flatten(0, 1),
            self.value_weight.to(context_BSD.dtype),
            source.index_NHK,
            source.weight_NHK,
        )
        mixed_HBTP = attend(
            query_HBTP,
            query_HBTP,
            self._heads(F.linear(context_BSD, self.key_weight)),
            value_NHP.view(B, S, self.n_heads, self.d_head).movedim(-2, 0),
            self._heads(F.linear(table_RD, self.position_weight)),
        )
        destination = self.output_router(full_TD)
        output_ND = project_outputs(
            mixed_HBTP.permute(1, 2, 0, 3).flatten(0, 1),
            self.output_weight.to(mixed_HBTP.dtype),
            destination.index_NHK,
            destination.weight_NHK,
        )
        return output_ND.view(B, seq_len, D)

    def _heads(self, x: Tensor) -> Tensor:
        """Split [..., H * P] into [H, ..., P]."""
        return x.unflatten(-1, (self.n_heads, self.d_head)).movedim(-2, 0)
