"""A model's parameters by part and its costs by convention."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.model_costs import ModelCosts, count_costs
from switchhead_lab.budget.parameters import ParameterCount, count_parameters
from switchhead_lab.config.architecture import ModelConfig


@dataclass(frozen=True)
class BudgetSummary:
    """Parameters and costs of a model.

    Attributes:
        parameters: Parameters by part.
        costs: Costs by convention.
    """

    parameters: ParameterCount
    costs: ModelCosts

    def as_data(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        return {
            "parameters": {
                "total": self.parameters.total,
                "embedding": self.parameters.embedding,
                "active_per_token": self.costs.n_active_parameters,
                "parts": dict(self.parameters.parts),
            },
            "costs": self.costs.by_convention(),
            "output_macs_per_token": self.costs.output_macs_per_token,
        }


def summarise_budget(
    model: ModelConfig,
    counters: Iterable[CostCounter],
    vocab_size: int,
    n_outputs: int | None = None,
) -> BudgetSummary:
    """Count a model's parameters and costs in the given conventions, where defined."""
    costs = count_costs(model, counters, vocab_size=vocab_size, n_outputs=n_outputs)
    return BudgetSummary(count_parameters(model, vocab_size, n_outputs), costs)
