"""The cost counter of a convention, used by matching and accounting."""

from collections.abc import Callable
from dataclasses import dataclass

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.cost_names import Convention
from switchhead_lab.variants.base import Cost


@dataclass(frozen=True)
class CostCounter:
    """Counts costs of one layer for one sequence, forward.

    Attributes:
        convention: Name of the convention: "equations", "published" or "executed".
        attention: Counts attention; raises `UndefinedCostError` without a formula for it.
        feedforward: The same for the feed-forward block.
    """

    convention: str
    attention: Callable[[ModelConfig], Cost]
    feedforward: Callable[[ModelConfig], Cost]

    def attention_macs(self, model: ModelConfig) -> int:
        """Count the multiply-accumulates of attention."""
        return self.attention(model).macs

    def attention_memory_floats(self, model: ModelConfig) -> int:
        """Count the floats that attention saves for the backward pass."""
        return self.attention(model).saved_floats

    def feedforward_macs(self, model: ModelConfig) -> int:
        """Count the multiply-accumulates of the feed-forward block."""
        return self.feedforward(model).macs

    def layer_macs(self, model: ModelConfig) -> int:
        """Count the multiply-accumulates of attention and feed-forward block together."""
        return self.attention_macs(model) + self.feedforward_macs(model)


def closed_form_counter(convention: Convention) -> CostCounter:
    """Return the counter of a closed-form convention."""
    return CostCounter(
        convention=convention,
        attention=lambda model: model.attention.cost(model.layer, convention),
        feedforward=lambda model: model.feedforward.cost(model.layer, convention),
    )
