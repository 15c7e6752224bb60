"""The budgeted quantity, parameters or MACs, in which no model may exceed the baseline.

Models of a sweep have the same number of layers, embedding and output layer, so models that match
in one layer match as a whole.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.variants.base import Variant

Scope = Literal["attention", "layer"]
MatchedQuantity = Literal["parameters", "attention_macs", "layer_macs"]
"""The quantity that a model's size is matched by."""


@dataclass(frozen=True)
class BudgetedQuantity:
    """A quantity counted in one layer.

    Attributes:
        scope: Whether of attention, or of attention and feed-forward block together.
        unit: Its name in messages.
        count: Returns it for a model.
    """

    scope: Scope
    unit: str
    count: Callable[[ModelConfig], int]

    @property
    def subject(self) -> str:
        """Subject and verb of messages about it."""
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
