"""The budgeted quantity, of which a model may not have more than the baseline: parameters or MACs.

Models of a sweep have equally many layers, and the same embedding and output layer, so those who
match in a layer match as a whole.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.variants.base import Variant

Scope = Literal["attention", "layer"]
MatchedQuantity = Literal["parameters", "attention_macs", "layer_macs"]
"""What a size of a model is set by, so that it meets the baseline's."""


@dataclass(frozen=True)
class BudgetedQuantity:
    """Something to count in a layer.

    Attributes:
        scope: Whether it is that of attention, or of attention and feed-forward block together.
        unit: What it is, for messages.
        count: Counts it.
    """

    scope: Scope
    unit: str
    count: Callable[[ModelConfig], int]

    @property
    def subject(self) -> str:
        """Return whose it is, with the verb."""
        return "attention has" if self.scope == "attention" else "attention and feed-forward have"


def parameters_of(scope: Scope) -> BudgetedQuantity:
    """Return the parameters of attention or of the whole layer."""

    def count(model: ModelConfig) -> int:
        variants: list[Variant] = [model.attention]
        if scope == "layer":
            variants.append(model.feedforward)
        return sum(sum(variant.parameter_parts(model.layer).values()) for variant in variants)

    return BudgetedQuantity(scope, "parameters", count)


def macs_of(scope: Scope, counter: CostCounter) -> BudgetedQuantity:
    """Return the MACs of attention or of the whole layer, for one sequence."""
    count = counter.attention_macs if scope == "attention" else counter.layer_macs
    return BudgetedQuantity(scope, f"MACs ({counter.convention})", count)
