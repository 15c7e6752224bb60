"""The dense feed-forward block.

Letters: B batch, T positions, D d_model, F d_ff.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_lab.config.schema import DenseFeedForward
from switchhead_lab.model.initialisation import init_normal


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

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Transform each position; shape [B, T, D] in and out."""
        hidden_BTF = F.relu(self.up(x_BTD))
        hidden_BTF = F.dropout(hidden_BTF, self.p_dropout, self.training)
        return self.down(hidden_BTF)
