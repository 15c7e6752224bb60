"""Why a model cannot be given the baseline's budget, and what could be."""

import itertools
from collections.abc import Callable, Iterable

from switchhead_lab.budget.dimensions import (
    ALL_DIMENSIONS,
    D_FF,
    D_HEAD,
    FREE_DIMENSIONS,
    N_EXPERTS,
    N_HEADS,
    Dimension,
    largest_that_fits,
)
from switchhead_lab.budget.quantity import Quantity
from switchhead_lab.config.architecture import MoaAttention, ModelConfig

# More would hide the first.
_MAX_PROPOSALS = 3


def explain_excess(
    dimension: Dimension, model: ModelConfig, quantity: Quantity, baseline: ModelConfig
) -> str:
    """Say that a model exceeds the budget at every value of its free dimension, and what would fit.

    Args:
        dimension: The free dimension.
        model: Everything else; exceeds the budget even at the smallest value.
        quantity: What is limited.
        baseline: The model whose budget it is.
    """
    budget = quantity.count(baseline)
    others = [d for d in _dimensions(model, quantity) if d != dimension]

    def needed(candidate: ModelConfig) -> int:
        return quantity.count(dimension.at_smallest(candidate))

    proposals = _proposals(others, model, lambda candidate: needed(candidate) <= budget)
    if proposals:
        first, *more = proposals[:_MAX_PROPOSALS]
        advice = f"{first} would fit" + (f" (or {', or '.join(more)})" if more else "")
    else:
        least = _at_smallest(others, model)
        advice = (
            f"no shape fits; {_values(others, least)} would, with a baseline of d_head "
            f"{_enough_d_head(needed(least), quantity, baseline)} or more"
        )
    return (
        f"{_values(others, model)}: even at {dimension.name}={dimension.smallest(model)} "
        f"{quantity.subject} {needed(model):,} {quantity.unit}, the baseline's {budget:,}; {advice}"
    )


def explain_no_effect(dimension: Dimension, model: ModelConfig, quantity: Quantity) -> str:
    """Say that a quantity does not depend on a dimension, and on which of its block it does."""
    names = [
        other.name
        for other in FREE_DIMENSIONS.values()
        if other.block == dimension.block
        and other.exists_in(model)
        and has_effect(other, model, quantity)
    ]
    return (
        f"{dimension.name} has no effect on the {quantity.unit} of {model.attention.kind} "
        f"attention; match over {' or '.join(names)}"
    )


def explain_bound(model: ModelConfig, quantity: Quantity, baseline: ModelConfig) -> str | None:
    """Say that a MoA picks all its heads with budget to spare, and how many it should have.

    Args:
        model: The model with the largest n_heads that fits and that its n_experts allows.
        quantity: What is limited.
        baseline: The model whose budget it is.

    Returns:
        The explanation; None where one more expert would not let one more head fit.
    """
    attention, budget = model.attention, quantity.count(baseline)
    if not isinstance(attention, MoaAttention) or attention.n_heads < attention.n_experts:
        return None

    def fits(candidate: ModelConfig) -> bool:
        return quantity.count(N_HEADS.at(candidate, N_EXPERTS.value(candidate))) <= budget

    enough = largest_that_fits(N_EXPERTS, N_HEADS.at(model, 1), fits)
    assert enough is not None, "the model itself fits"
    if N_EXPERTS.value(enough) == attention.n_experts:
        return None
    return (
        f"n_experts={attention.n_experts}: even at n_heads={attention.n_heads}, the most it "
        f"allows, {quantity.subject} only {quantity.count(model):,} {quantity.unit}, the "
        f"baseline's {budget:,}; n_experts of {N_EXPERTS.value(enough)} or more would do"
    )


def has_effect(dimension: Dimension, model: ModelConfig, quantity: Quantity) -> bool:
    """Tell whether a quantity grows with a dimension."""
    smallest = dimension.smallest(model)
    # What is executed grows with the feed-forward width in steps, since its products are made even.
    n_steps = 64 if dimension == D_FF else 1
    larger = smallest + n_steps * dimension.step(model)
    if dimension.largest(model) == smallest:
        # Only the single head of a MoA with one expert: look at it with two.
        model = N_EXPERTS.at(model, larger)
    counts = [quantity.count(dimension.at(model, value)) for value in (smallest, larger)]
    return counts[0] < counts[1]


def _dimensions(model: ModelConfig, quantity: Quantity) -> list[Dimension]:
    return [
        dimension
        for dimension in ALL_DIMENSIONS
        if dimension.exists_in(model)
        and (dimension.block == "attention" or quantity.scope == "layer")
    ]


def _proposals(
    others: list[Dimension], model: ModelConfig, fits: Callable[[ModelConfig], bool]
) -> list[str]:
    """Return the largest value that fits of each dimension.

    The others stay as they are; or, where changing one dimension is never enough, as few of them as
    possible are at their smallest.
    """
    for n_fixed in range(len(others)):
        found = []
        for fixed in itertools.combinations(others, n_fixed):
            frame = _at_smallest(fixed, model)
            for varied in others:
                if varied in fixed:
                    continue
                largest = largest_that_fits(varied, frame, fits)
                if largest is not None:
                    proposal = f"{varied.name} up to {varied.value(largest)}"
                    found.append(proposal + (f" with {_values(fixed, frame)}" if fixed else ""))
        if found:
            return found
    return []


def _at_smallest(dimensions: Iterable[Dimension], model: ModelConfig) -> ModelConfig:
    # Experts last: how few there can be depends on how many are picked.
    for dimension in sorted(dimensions, key=lambda d: d.field == "n_experts"):
        model = dimension.at_smallest(model)
    return model


def _values(dimensions: Iterable[Dimension], model: ModelConfig) -> str:
    return ", ".join(f"{d.name}={d.value(model)}" for d in dimensions)


def _enough_d_head(needed: int, quantity: Quantity, baseline: ModelConfig) -> int:
    """Return the smallest d_head of a baseline that has as much as is needed."""
    too_narrow = largest_that_fits(D_HEAD, baseline, lambda base: quantity.count(base) < needed)
    assert too_narrow is not None, "the baseline itself is too narrow"
    return D_HEAD.value(too_narrow) + 1
