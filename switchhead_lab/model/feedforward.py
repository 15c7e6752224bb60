"""Feed-forward variants.

Letters: B batch, T positions, N tokens (B * T), D d_model, F d_ff or d_expert, E experts, K chosen
per token.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_kernels.autocast import in_compute_dtype
from switchhead_kernels.expert_matmul import expert_matmul
from switchhead_kernels.relu_feedforward import relu_feedforward
from switchhead_lab.model.initialisation import init_normal
from switchhead_lab.model.router import Router, RoutingDecision
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.model.sublayer import SublayerOutput
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward


class DenseFeedForwardBlock(nn.Module):
    """`y = dropout(ReLU(x W_1 + b_1)) W_2 + b_2`."""

    def __init__(self, config: DenseFeedForward, d_model: int) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, config.d_ff)
        self.down = nn.Linear(config.d_ff, d_model)
        self.p_dropout = config.p_dropout

    @torch.no_grad()
    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise every parameter."""
        for layer in (self.up, self.down):
            init_normal(layer.weight, layer.in_features, scale, generator)
            layer.bias.zero_()

    def forward(self, x_BTD: Tensor, _plan: SequencePlan) -> SublayerOutput:
        """Transform each position independently; shape [B, T, D] in and out."""
        output_ND = relu_feedforward(
            x_BTD.flatten(0, 1),
            self.up.weight,
            self.up.bias,
            self.down.weight,
            self.down.bias,
            self.p_dropout if self.training else 0.0,
        )
        return SublayerOutput(output_ND.view(x_BTD.shape))


class SigmaMoeBlock(nn.Module):
    """`y = sum over the K chosen e of sigmoid(x w_e) ReLU(x W1_e) W2_e`, without biases.

    Source: sigma-MoE (Csordás et al., arXiv:2310.10837), Sec. 5; the feed-forward of SwitchAll.
    Symbols: `up_weight` W1, `down_weight` W2, `router.weight` w.
    """

    def __init__(self, config: SigmaMoeFeedForward, d_model: int) -> None:
        super().__init__()
        self.entropy_coefficient = config.entropy_coefficient
        E, width = config.n_experts, config.d_expert
        self.up_weight = nn.Parameter(torch.empty(1, E, d_model, width))
        self.down_weight = nn.Parameter(torch.empty(1, E, width, d_model))
        self.router = Router(d_model, 1, E, config.top_k, p_dropout=config.p_expert_dropout)

    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise every parameter; W2's fan-in counts all experts."""
        _, E, D, width = self.up_weight.shape
        init_normal(self.up_weight, D, scale, generator)
        init_normal(self.down_weight, E * width, scale, generator)
        self.router.reset_parameters(scale, generator)

    def forward(self, x_BTD: Tensor, plan: SequencePlan) -> SublayerOutput:
        """Transform each position; shape [B, T, D] in and out; padding is not regularised."""
        choice, routing = self.router(x_BTD.flatten(0, 1))
        x_ND = in_compute_dtype(x_BTD).flatten(0, 1)
        hidden_N1KF = expert_matmul(
            x_ND,
            self.up_weight,
            routing,
            rows_in="token",
            rows_out="slot",
        )
        output_ND = expert_matmul(
            F.relu(hidden_N1KF),
            self.down_weight,
            routing,
            choice.weight_NHK,
            rows_in="slot",
            rows_out="token",
        )
        loss = None
        if self.entropy_coefficient > 0.0:
            loss = -self.entropy_coefficient * batch_entropy(choice, plan.is_token_BT)
        return SublayerOutput(output_ND.view_as(x_BTD), {"router": choice}, loss)


def batch_entropy(choice: RoutingDecision, is_token_BT: Tensor | None = None) -> Tensor:
    """Return the entropy in nats of the batch-mean of softmax(router logits).

    Source: sigma-MoE (arXiv:2310.10837), Eq. 20; maximised for even use of experts.

    Args:
        choice: Choices of one head.
        is_token_BT: False for padding, which is ignored; None without padding.
    """
    log_p_NE = choice.logits_NHE[:, 0].log_softmax(dim=-1)
    if is_token_BT is None:
        log_mean_E = log_p_NE.logsumexp(dim=0) - math.log(len(log_p_NE))
    else:
        log_p_NE = log_p_NE.masked_fill(~is_token_BT.view(-1, 1), float("-inf"))
        log_mean_E = log_p_NE.logsumexp(dim=0) - is_token_BT.sum().log()
    return -(log_mean_E.exp() * log_mean_E).sum()
