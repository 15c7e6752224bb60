"""The residual of matching: how far a model is from the baseline, and whether that is too far."""

from dataclasses import dataclass

from switchhead_lab.budget.model_costs import ModelCosts
from switchhead_lab.budget.quantity import MatchedQuantity

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


def difference(own: int, base: int) -> Difference:
    """Return how much a model's count exceeds the baseline's."""
    return Difference(own - base, own / base - 1.0)


def budget_fraction(
    costs: ModelCosts, baseline: ModelCosts, matched: MatchedQuantity, convention: str
) -> float:
    """Return a model's excess of its matched quantity, relative to the baseline.

    Args:
        costs: Costs of the model.
        baseline: Costs of the baseline.
        matched: The matched quantity; parameters are those of the whole model.
        convention: Convention of MACs.
    """
    own, base = (_amount(each, matched, convention) for each in (costs, baseline))
    return difference(own, base).fraction


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


def _amount(costs: ModelCosts, matched: MatchedQuantity, convention: str) -> int:
    macs = {"attention_macs": costs.attention_macs, "layer_macs": costs.layer_macs}
    amount = costs.n_parameters if matched == "parameters" else macs[matched](convention)
    assert amount is not None, "the convention of a match defines its models' costs"
    return amount
