"""One convention's way to count the costs of a layer, as matching and listings need it."""

from collections.abc import Callable
from dataclasses import dataclass

from switchhead_lab.budget.costs import (
    attention_macs,
    attention_memory_floats,
    feedforward_macs,
)
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.sweep import Convention


@dataclass(frozen=True)
class CostCounter:
    """Counts costs of one layer for one sequence, forward.

    Attributes:
        convention: Its name: "equations", "published", or that of a way to measure.
        attention_macs: Multiply-accumulates of attention.
        attention_memory_floats: Floats that attention keeps for the backward pass.
        feedforward_macs: Multiply-accumulates of the feed-forward block.
    """

    convention: str
    attention_macs: Callable[[ModelConfig], int]
    attention_memory_floats: Callable[[ModelConfig], int]
    feedforward_macs: Callable[[ModelConfig], int]

    def layer_macs(self, model: ModelConfig) -> int:
        """Count the multiply-accumulates of attention and feed-forward block together."""
        return self.attention_macs(model) + self.feedforward_macs(model)


def closed_form_counter(convention: Convention) -> CostCounter:
    """Return the counter of a convention that is a formula."""
    return CostCounter(
        convention=convention,
        attention_macs=lambda model: attention_macs(model, convention),
        attention_memory_floats=lambda model: attention_memory_floats(model, convention),
        feedforward_macs=lambda model: feedforward_macs(model, convention),
    )
