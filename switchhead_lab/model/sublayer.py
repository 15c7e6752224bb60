"""The return value of attention and feed-forward layers; modules keep no state of a pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from switchhead_lab.model.router import RoutingDecision


@dataclass(frozen=True)
class SublayerOutput:
    """Output of one attention or feed-forward layer.

    Attributes:
        output_BTD: Shape [B, T, D].
        choices: Choices of experts by router name, for statistics.
        auxiliary_loss: Scalar to add to the training loss, or None.
    """

    output_BTD: Tensor
    choices: Mapping[str, RoutingDecision] = field(default_factory=dict)
    auxiliary_loss: Tensor | None = None
