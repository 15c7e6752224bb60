"""Routers: which experts each token takes, and with which weight.

Letters: N tokens, D d_model, H heads, E experts per head, K chosen per token.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from switchhead_lab.model.initialisation import init_router


@dataclass(frozen=True)
class ExpertChoice:
    """The experts chosen by every token and head.

    Attributes:
        index_NHK: Shape [N, H, K], int64 in [0, E), by falling score.
        weight_NHK: Shape [N, H, K], float32 in (0, 1).
    """

    index_NHK: Tensor
    weight_NHK: Tensor


class SigmoidRouter(nn.Module):
    """Non-competitive router: `s = sigmoid(x W)`, the K largest of each head's E scores.

    Source: SwitchHead (arXiv:2312.07987), Eq. 7 and 8. No softmax, no normalisation over the
    chosen, no balancing loss.
    """

    def __init__(self, d_model: int, n_heads: int, n_experts: int, top_k: int) -> None:
        super().__init__()
        self.n_heads, self.n_experts, self.top_k = n_heads, n_experts, top_k
        self.weight = nn.Parameter(torch.empty(n_heads * n_experts, d_model))

    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise with rows of equal norm."""
        init_router(self.weight, scale, generator)

    def forward(self, x_ND: Tensor) -> ExpertChoice:
        """Choose experts for each row of `x_ND` (shape [N, D], any float dtype)."""
        # float32 whatever the autocast: a rounded score can change which experts are chosen.
        with torch.autocast(x_ND.device.type, enabled=False):
            logits_NX = x_ND.to(self.weight.dtype) @ self.weight.T
        scores_NHE = torch.sigmoid(logits_NX).view(-1, self.n_heads, self.n_experts)
        return select_experts(scores_NHE, self.top_k)


def select_experts(scores_NHE: Tensor, top_k: int) -> ExpertChoice:
    """Take the `top_k` largest scores of each head; ties go to the lower expert index.

    A stable sort rather than topk, whose order on ties is not defined, so that runs repeat.

    Args:
        scores_NHE: Shape [N, H, E].
        top_k: Experts to keep, 1 <= top_k <= E.
    """
    index_NHK = scores_NHE.detach().sort(dim=-1, descending=True, stable=True).indices
    index_NHK = index_NHK[..., :top_k]
    return ExpertChoice(index_NHK, scores_NHE.gather(-1, index_NHK))
