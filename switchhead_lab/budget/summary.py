"""Everything the budget says of a model, side by side."""

from dataclasses import dataclass, replace
from typing import Any

from switchhead_lab.budget.costs import (
    attention_macs,
    attention_memory_floats,
    feedforward_macs,
)
from switchhead_lab.budget.parameters import (
    ParameterCount,
    count_parameters,
)
from switchhead_lab.config.architecture import ModelConfig


@dataclass(frozen=True)
class LayerCosts:
    """Costs of a model's layers in one convention, forward.

    Attributes:
        convention: How it is counted: "equations", "published" or "executed".
        macs_per_layer: MACs of one layer, one sequence.
        memory_floats_per_layer: Floats saved for the backward pass, one layer and sequence.
        n_layers: Layers of the model.
        seq_len: Tokens of a sequence.
        feedforward_macs_per_token: MACs of all feed-forward blocks per token.
    """

    convention: str
    macs_per_layer: int
    memory_floats_per_layer: int
    n_layers: int
    seq_len: int
    feedforward_macs_per_token: int

    @property
    def macs_per_model(self) -> int:
        """MACs of all attention layers, one sequence."""
        return self.n_layers * self.macs_per_layer

    @property
    def macs_per_token(self) -> float:
        """MACs of all attention layers per token."""
        return self.macs_per_model / self.seq_len


@dataclass(frozen=True)
class BudgetSummary:
    """Parameters and costs of a model.

    Attributes:
        parameters: Parameters by part.
        active_parameters: Parameters that one token meets; see `active_parameters`.
        costs: Costs of attention and feed-forward by convention.
        output_macs_per_token: MACs of the output layer per token.
    """

    parameters: ParameterCount
    active_parameters: int
    costs: tuple[LayerCosts, ...]
    output_macs_per_token: int

    def with_costs(self, *more: LayerCosts) -> "BudgetSummary":
        """Return the summary with further conventions, counted elsewhere."""
        return replace(self, costs=(*self.costs, *more))

    def as_data(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        return {
            "parameters": {
                "total": self.parameters.total,
                "embedding": self.parameters.embedding,
                "active_per_token": self.active_parameters,
                "parts": dict(self.parameters.parts),
            },
            "costs": {
                cost.convention: {
                    "macs_per_layer": cost.macs_per_layer,
                    "macs_per_model": cost.macs_per_model,
                    "macs_per_token": cost.macs_per_token,
                    "memory_floats_per_layer": cost.memory_floats_per_layer,
                    "memory_floats_per_model": cost.n_layers * cost.memory_floats_per_layer,
                    "feedforward_macs_per_token": cost.feedforward_macs_per_token,
                }
                for cost in self.costs
            },
            "output_macs_per_token": self.output_macs_per_token,
        }


def summarise_budget(
    model: ModelConfig, vocab_size: int, n_outputs: int | None = None
) -> BudgetSummary:
    """Count everything about a model in every convention that prices it."""
    return BudgetSummary(
        parameters=count_parameters(model, vocab_size, n_outputs),
        active_parameters=active_parameters(model, vocab_size, n_outputs),
        costs=tuple(
            LayerCosts(
                convention=convention,
                macs_per_layer=attention_macs(model, convention),
                memory_floats_per_layer=attention_memory_floats(model, convention),
                n_layers=model.n_layers,
                seq_len=model.seq_len,
                feedforward_macs_per_token=model.n_layers
                * feedforward_macs(model, convention)
                // model.seq_len,
            )
            for convention in model.conventions
        ),
        output_macs_per_token=model.d_model * (n_outputs or vocab_size),
    )


def active_parameters(model: ModelConfig, vocab_size: int, n_outputs: int | None = None) -> int:
    """Count the parameters that one token meets: chosen experts, its embedding row, the rest.

    Args:
        model: Architecture.
        vocab_size: Number of tokens.
        n_outputs: Width of the output layer; as many as there are tokens if left out.
    """
    layer = model.layer
    idle = sum(
        sum(variant.parameter_parts(layer).values()) - variant.active_parameters(layer)
        for variant in (model.attention, model.feedforward)
    )
    unread = (vocab_size - 1) * model.d_model
    return count_parameters(model, vocab_size, n_outputs).total - model.n_layers * idle - unread
