"""The residual of matching: how far a model is from the baseline, and whether that is too far."""

from collections.abc import Callable
from dataclasses import dataclass

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.model_costs import ModelCosts
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.budget.quantity import MatchedQuantity
from switchhead_lab.config.architecture import ModelConfig

_TOLERATED_FRACTION = 0.01


@dataclass(frozen=True)
class Difference:
    """A difference to the baseline; negative if the model has less.

    Attributes:
        absolute: The difference.
        fraction: The difference relative to the baseline.
    """

    absolute: int
    fraction: float


@dataclass(frozen=True)
class MatchResidual:
    """How far a matched model is from the baseline.

    Attributes:
        parameters: Of the whole model.
        attention_macs: Of one attention layer, one sequence, in the counter's convention.
        layer_macs: The same for attention and feed-forward block together.
    """

    parameters: Difference
    attention_macs: Difference
    layer_macs: Difference


def match_residual(
    model: ModelConfig,
    baseline: ModelConfig,
    counter: CostCounter,
    vocab_size: int,
    n_outputs: int | None = None,
) -> MatchResidual:
    """Compare a model's parameters and MACs with the baseline's.

    Args:
        model: The model.
        baseline: The dense baseline.
        counter: Counts MACs.
        vocab_size: Number of tokens.
        n_outputs: Width of the output layer; by default vocab_size.
    """

    def difference(count: Callable[[ModelConfig], int]) -> Difference:
        base = count(baseline)
        return Difference(count(model) - base, count(model) / base - 1.0)

    return MatchResidual(
        parameters=difference(lambda m: count_parameters(m, vocab_size, n_outputs).total),
        attention_macs=difference(counter.attention_macs),
        layer_macs=difference(counter.layer_macs),
    )


def budget_fraction(costs: ModelCosts, baseline: ModelCosts, matched: MatchedQuantity) -> float:
    """Return a model's excess of its matched quantity, relative to the baseline.

    Args:
        costs: Costs of the model.
        baseline: Costs of the baseline.
        matched: The matched quantity; parameters are those of the whole model.
    """
    own, base = (_amount(each, matched) for each in (costs, baseline))
    return own / base - 1.0


def describe_off_budget(
    matched: MatchedQuantity | None, fraction: float, convention: str
) -> str | None:
    """Return "2.1 % fewer parameters" for a model off its budget; None within one percent.

    Args:
        matched: The matched quantity; None for the baseline.
        fraction: The model's excess; see `budget_fraction`.
        convention: Convention of MACs.
    """
    if matched is None or abs(fraction) <= _TOLERATED_FRACTION:
        return None
    more = "more" if fraction > 0 else "fewer"
    return f"{100 * abs(fraction):.1f} % {more} {describe_matched(matched, convention)}"


def describe_matched(matched: MatchedQuantity, convention: str) -> str:
    """Return the matched quantity in words; MACs with their convention."""
    match matched:
        case "parameters":
            return "parameters"
        case "attention_macs":
            return f"attention MACs ({convention})"
        case "layer_macs":
            return f"attention and feed-forward MACs ({convention})"


def describe_rule(matching: str, convention: str) -> str:
    """Return a sweep's rule in words: "MAC-matched by the executed convention"."""
    if matching == "mac_matched":
        return f"MAC-matched by the {convention} convention"
    return f"parameter-matched, costs by the {convention} convention"


def _amount(costs: ModelCosts, matched: MatchedQuantity) -> int:
    match matched:
        case "parameters":
            return costs.n_parameters
        case "attention_macs":
            return costs.macs
        case "layer_macs":
            macs = costs.layer_macs(costs.convention)
            assert macs is not None, "the matching convention defines the model's costs"
            return macs
