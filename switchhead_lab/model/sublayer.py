"""What an attention or feed-forward layer returns: nothing is kept on modules."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from switchhead_lab.model.router import RoutingDecision


@dataclass(frozen=True)
class SublayerOutput:
    """Output of one attention or feed-forward layer.

    Attributes:
        output_BTD: Shape [B, T, D].
        choices: Choices of experts by the name of their router, for statistics.
        auxiliary_loss: Scalar to add to the training loss; None where the layer has none.
    """

    output_BTD: Tensor
    choices: Mapping[str, RoutingDecision] = field(default_factory=dict)
    auxiliary_loss: Tensor | None = None
