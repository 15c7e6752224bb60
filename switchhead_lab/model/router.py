"""Routers: the experts that each token chooses, and their weights.

Letters: N tokens, D d_model, H heads, E experts per head, K chosen per token.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from switchhead_kernels.autocast import without_autocast
from switchhead_kernels.expert_matmul import Routing, make_routing
from switchhead_kernels.narrow_linear import narrow_linear
from switchhead_kernels.top_k import largest_indices
from switchhead_lab.model.initialisation import init_router
from switchhead_lab.variants.base import Gate


@dataclass(frozen=True)
class RoutingDecision:
    """The experts chosen by every token and head.

    Attributes:
        index_NHK: Shape [N, H, K], int64 in [0, E), in descending order of score.
        weight_NHK: Shape [N, H, K], float32 in [0, 1].
        logits_NHE: Shape [N, H, E], float32: the router logits, before expert dropout.
    """

    index_NHK: Tensor
    weight_NHK: Tensor
    logits_NHE: Tensor

    def last_positions(self, batch_size: int, n_positions: int) -> "RoutingDecision":
        """Return the choice of the last positions of each sequence.

        Args:
            batch_size: Sequences; N is batch_size times their length.
            n_positions: Positions to keep, from the end.
        """

        def cut(x: Tensor) -> Tensor:
            return x.unflatten(0, (batch_size, -1))[:, -n_positions:].flatten(0, 1)

        return RoutingDecision(cut(self.index_NHK), cut(self.weight_NHK), cut(self.logits_NHE))

    def at_tokens(self, is_token_BT: Tensor | None) -> "RoutingDecision":
        """Return the choice without padding; itself if there is no padding.

        Syncs with the device for the number of tokens: do not use it in a training step.

        Args:
            is_token_BT: False for padding, one entry for each row of the choice.
        """
        if is_token_BT is None:
            return self
        kept = is_token_BT.flatten()
        return RoutingDecision(self.index_NHK[kept], self.weight_NHK[kept], self.logits_NHE[kept])


class RoutedChoice(NamedTuple):
    """A choice with its routing, for the projections of one layer.

    Layers return only the choice: a compiled block cannot return the routing.

    Attributes:
        choice: The chosen experts.
        routing: The choice as `expert_matmul` takes it, shared by all projections.
    """

    choice: RoutingDecision
    routing: Routing


def route(choice: RoutingDecision) -> RoutedChoice:
    """Prepare a choice for expert projections."""
    return RoutedChoice(choice, make_routing(choice.index_NHK, choice.logits_NHE.shape[-1]))


class Router(nn.Module):
    """Top-k router over the experts of each head; no balancing loss of its own.

    Source: SwitchHead (arXiv:2312.07987), Eq. 7 and 8: `s = sigmoid(x W)`, non-competitive.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_experts: int,
        top_k: int,
        *,
        gate: Gate = "sigmoid",
        p_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_heads, self.n_experts, self.top_k = n_heads, n_experts, top_k
        self.gate, self.p_dropout = gate, p_dropout
        self.weight = nn.Parameter(torch.empty(n_heads * n_experts, d_model))

    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise with rows of equal norm."""
        init_router(self.weight, scale, generator)

    def forward(self, x_ND: Tensor) -> RoutedChoice:
        """Choose experts for each row of `x_ND` (shape [N, D], any float dtype)."""
        # float32 even under autocast: a rounded score can change the choice of experts.
        with without_autocast(x_ND):
            logits_NX = narrow_linear(x_ND.to(self.weight.dtype), self.weight)
        logits_NHE = logits_NX.view(-1, self.n_heads, self.n_experts)
        offered_NHE = logits_NHE
        if self.training and self.p_dropout > 0.0:
            is_dropped = torch.rand_like(logits_NHE) < self.p_dropout
            offered_NHE = logits_NHE.masked_fill(is_dropped, float("-inf"))
        index_NHK = largest_indices(offered_NHE, self.top_k)
        chosen_NHK = offered_NHE.gather(-1, index_NHK)
        return route(RoutingDecision(index_NHK, weigh(chosen_NHK, self.gate), logits_NHE))


def mean_over_tokens(x: Tensor, is_token_BT: Tensor | None) -> Tensor:
    """Return the mean over rows, ignoring padding, without a device sync.

    Args:
        x: Shape [N, ...], any float dtype.
        is_token_BT: False for padding, one entry per row; None without padding.
    """
    if is_token_BT is None:
        return x.mean(dim=0)
    return sum_over_tokens(x, is_token_BT) / is_token_BT.sum()


def sum_over_tokens(x: Tensor, is_token_BT: Tensor | None) -> Tensor:
    """Return the sum over rows, ignoring padding; arguments as in `mean_over_tokens`."""
    if is_token_BT is None:
        return x.sum(dim=0)
    is_padding = ~is_token_BT.view(-1, *(1 for _ in x.shape[1:]))
    return x.masked_fill(is_padding, 0.0).sum(dim=0)


def weigh(chosen_NHK: Tensor, gate: Gate) -> Tensor:
    """Turn the chosen logits into weights; dropped experts have weight zero."""
    if gate == "sigmoid":
        return torch.sigmoid(chosen_NHK)
    # All -inf (every expert dropped) would give 0 / 0; such a token has weights of zero.
    return torch.softmax(chosen_NHK, dim=-1).nan_to_num(0.0)
