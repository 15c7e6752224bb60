"""Mixture of Attention Heads: tokens pick heads; key and value projections are shared.

Letters: B batch, T query positions, S key positions (memory + chunk), D d_model, H picked heads,
P d_head, E heads in all, N tokens (B * T).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_kernels.attention_input import attention_input
from switchhead_kernels.expert_matmul import expert_matmul
from switchhead_lab.model.initialisation import init_normal
from switchhead_lab.model.positions import build_positions
from switchhead_lab.model.router import (
    Router,
    RoutingDecision,
    mean_over_tokens,
    sum_over_tokens,
)
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.model.sublayer import SublayerOutput
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.positions import PositionsConfig


class MoaMultiHeadAttention(nn.Module):
    """MoA: `y = sum_{e in picked} w[e] (softmax(q_e K^T) V) W_O[e]`, one K and one V.

    Weights are a softmax over the picked heads (official code) or a sigmoid of each.

    Source: Mixture of Attention Heads (arXiv:2210.05144), compared in Table 1 of SwitchHead
    (arXiv:2312.07987). Symbols: `query_weight` W_Q, `output_weight` W_O, `router` W_g.
    """

    def __init__(self, config: MoaAttention, positions: PositionsConfig, d_model: int) -> None:
        super().__init__()
        self.config = config
        E, P = config.n_experts, config.d_head
        self.query_weight = nn.Parameter(torch.empty(1, E, d_model, P))
        self.key_weight = nn.Parameter(torch.empty(P, d_model))
        self.value_weight = nn.Parameter(torch.empty(P, d_model))
        self.output_weight = nn.Parameter(torch.empty(1, E, P, d_model))
        self.positions = build_positions(positions, d_model, 1, P, has_bias=False)
        self.router = Router(d_model, 1, E, config.n_heads, gate=config.gate)

    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise every parameter; fan-in as in a dense layer of the picked heads."""
        d_model = self.key_weight.shape[1]
        for weight in (self.query_weight, self.key_weight, self.value_weight):
            init_normal(weight, d_model, scale, generator)
        width = self.config.n_heads * self.config.d_head
        init_normal(self.output_weight, width, scale, generator)
        self.positions.reset_parameters(scale, generator)
        self.router.reset_parameters(scale, generator)

    def forward(self, context_BSD: Tensor, plan: SequencePlan) -> SublayerOutput:
        """Attend from the last T positions to the keys that the plan allows.

        Args:
            context_BSD: Shape [B, S, D], normalised memory and chunk.
            plan: Queries, keys, mask and position table.
        """
        B, T, H = context_BSD.shape[0], plan.n_queries, self.config.n_heads
        given = attention_input(context_BSD, T)
        choice, routing = self.router(given.exact_chunk_BTD.flatten(0, 1))
        query_N1HP = expert_matmul(
            given.chunk_BTD.flatten(0, 1),
            self.query_weight,
            routing,
            rows_in="token",
            rows_out="slot",
        )
        key_BSP = F.linear(given.context_BSD, self.key_weight)
        value_BSP = F.linear(given.context_BSD, self.value_weight)
        mixed_HBTP = self.positions.attend(
            query_N1HP.view(B, T, H, -1).permute(2, 0, 1, 3),
            key_BSP.expand(H, -1, -1, -1),
            value_BSP.expand(H, -1, -1, -1),
            plan,
        )
        output_ND = expert_matmul(
            mixed_HBTP.permute(1, 2, 0, 3).flatten(0, 1).unsqueeze(1),
            self.output_weight,
            routing,
            choice.weight_NHK,
            rows_in="slot",
            rows_out="token",
        )
        return SublayerOutput(
            output_ND.view(B, T, -1),
            {"router": choice},
            self._regularise(choice, plan.is_token_BT),
        )

    def _regularise(self, choice: RoutingDecision, is_token_BT: Tensor | None) -> Tensor | None:
        """Return the weighted sum of the three regularisers; None if all have weight zero."""
        config = self.config
        terms = [
            (config.cv_coefficient, cv_loss),
            (config.switch_coefficient, switch_loss),
            (config.z_coefficient, z_loss),
        ]
        losses = [weight * loss(choice, is_token_BT) for weight, loss in terms if weight > 0.0]
        return torch.stack(losses).sum() if losses else None


def cv_loss(choice: RoutingDecision, is_token_BT: Tensor | None = None) -> Tensor:
    """Return the squared coefficient of variation of the experts' total weight.

    Source: Shazeer et al. (arXiv:1701.06538), Eq. 6.

    Args:
        choice: Choices of one head.
        is_token_BT: False for padding, which is ignored; None without padding.
    """
    N, _, E = choice.logits_NHE.shape
    weight_NE = choice.weight_NHK.new_zeros(N, E).scatter(
        1, choice.index_NHK[:, 0], choice.weight_NHK[:, 0]
    )
    importance_E = sum_over_tokens(weight_NE, is_token_BT)
    return importance_E.var(unbiased=False) / importance_E.mean().square().clamp_min(1e-10)


def switch_loss(choice: RoutingDecision, is_token_BT: Tensor | None = None) -> Tensor:
    """Return E times the sum over experts of fraction of picks times mean probability.

    Source: Switch Transformers (arXiv:2101.03961), Eq. 4, where the fraction counts all K picks.

    Args:
        choice: Choices of one head.
        is_token_BT: False for padding, which is ignored; None without padding.
    """
    logits_NE = choice.logits_NHE[:, 0]
    E = logits_NE.shape[-1]
    probability_E = mean_over_tokens(logits_NE.softmax(dim=-1), is_token_BT)
    picks_NE = torch.zeros_like(logits_NE).scatter(-1, choice.index_NHK[:, 0], 1.0)
    picks_E = sum_over_tokens(picks_NE, is_token_BT)
    return E * (probability_E * (picks_E / picks_E.sum())).sum()


def z_loss(choice: RoutingDecision, is_token_BT: Tensor | None = None) -> Tensor:
    """Return the mean squared log-sum-exp of the router logits.

    Source: ST-MoE (arXiv:2202.08906), Eq. 5.

    Args:
        choice: Choices of one head.
        is_token_BT: False for padding, which is ignored; None without padding.
    """
    return mean_over_tokens(choice.logits_NHE[:, 0].logsumexp(dim=-1).square(), is_token_BT)
