"""Messages for models that cannot meet the baseline's budget, with sizes that would."""

import itertools
from collections.abc import Callable, Iterable

from switchhead_lab.budget.quantity import BudgetedQuantity
from switchhead_lab.budget.sizes import (
    ModelSize,
    find_size,
    largest_that_fits,
    matchable_sizes_of,
    sizes_of,
)
from switchhead_lab.config.architecture import ModelConfig

# More proposals would bury the first.
_MAX_PROPOSALS = 3


def explain_excess(
    size: ModelSize, model: ModelConfig, budgeted: BudgetedQuantity, baseline: ModelConfig
) -> str:
    """Explain that a model exceeds the budget at every value of its free size, and what would fit.

    Args:
        size: The free size.
        model: All other sizes; exceeds the budget even at the smallest value.
        budgeted: The limited quantity.
        baseline: The model whose budget applies.
    """
    budget = budgeted.count(baseline)
    others = [other for other in _sizes(model, budgeted) if other != size]

    def needed(candidate: ModelConfig) -> int:
        return budgeted.count(size.at_smallest(candidate))

    proposals = _proposals(others, model, lambda candidate: needed(candidate) <= budget)
    if proposals:
        first, *more = proposals[:_MAX_PROPOSALS]
        advice = f"{first} would fit" + (f" (or {', or '.join(more)})" if more else "")
    else:
        least = _at_smallest(others, model)
        advice = (
            f"no shape fits; {_values(others, least)} would, with a baseline of d_head "
            f"{_enough_d_head(needed(least), budgeted, baseline)} or more"
        )
    return (
        f"{_values(others, model)}: even at {size.label}={size.smallest(model)} "
        f"{budgeted.subject} {needed(model):,} {budgeted.unit}, the baseline's {budget:,}; {advice}"
    )


def explain_no_effect(size: ModelSize, model: ModelConfig, budgeted: BudgetedQuantity) -> str:
    """Explain that a quantity does not depend on a size, and name the sizes that it depends on."""
    names = [
        other.label
        for other in matchable_sizes_of(model)
        if other.block == size.block and has_effect(other, model, budgeted)
    ]
    return (
        f"{size.label} has no effect on the {budgeted.unit} of {model.attention.kind} "
        f"attention; match over {' or '.join(names)}"
    )


def explain_bound(
    size: ModelSize, model: ModelConfig, budgeted: BudgetedQuantity, baseline: ModelConfig
) -> str | None:
    """Explain that another size limits a size below the budget, and which value would do.

    Args:
        size: The free size, at the largest value that fits and that the other size allows.
        model: The model.
        budgeted: The limited quantity.
        baseline: The model whose budget applies.

    Returns:
        The explanation; None if a larger value of the other size would not let it grow.
    """
    ceiling, budget = size.ceiling(model), budgeted.count(baseline)
    if ceiling is None or size.value(model) < ceiling.value(model):
        return None

    def fits(candidate: ModelConfig) -> bool:
        return budgeted.count(size.at(candidate, ceiling.value(candidate))) <= budget

    enough = largest_that_fits(ceiling, size.at_smallest(model), fits)
    assert enough is not None, "the model itself fits"
    if ceiling.value(enough) == ceiling.value(model):
        return None
    return (
        f"{ceiling.label}={ceiling.value(model)}: even at {size.label}={size.value(model)}, the "
        f"most it allows, {budgeted.subject} only {budgeted.count(model):,} {budgeted.unit}, the "
        f"baseline's {budget:,}; {ceiling.label} of {ceiling.value(enough)} or more would do"
    )


def has_effect(size: ModelSize, model: ModelConfig, budgeted: BudgetedQuantity) -> bool:
    """Return whether a quantity grows with a size."""
    smallest = size.smallest(model)
    larger = smallest + max(size.step(model), size.executed_step(model))
    ceiling = size.ceiling(model)
    if ceiling is not None and ceiling.value(model) < larger:
        model = ceiling.at(model, larger)
    counts = [budgeted.count(size.at(model, value)) for value in (smallest, larger)]
    return counts[0] < counts[1]


def _sizes(model: ModelConfig, budgeted: BudgetedQuantity) -> list[ModelSize]:
    return [
        size for size in sizes_of(model) if size.block == "attention" or budgeted.scope == "layer"
    ]


def _proposals(
    others: list[ModelSize], model: ModelConfig, fits: Callable[[ModelConfig], bool]
) -> list[str]:
    """Return the largest value of each size that fits.

    The other sizes do not change; if changing one size is never enough, as few others as possible
    are reduced to their smallest.
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
                    proposal = f"{varied.label} up to {varied.value(largest)}"
                    found.append(proposal + (f" with {_values(fixed, frame)}" if fixed else ""))
        if found:
            return found
    return []


def _at_smallest(sizes: Iterable[ModelSize], model: ModelConfig) -> ModelConfig:
    # Sizes that are floors of others come first.
    for size in sorted(sizes, key=lambda size: size.has_floor(model)):
        model = size.at_smallest(model)
    return model


def _values(sizes: Iterable[ModelSize], model: ModelConfig) -> str:
    return ", ".join(f"{size.label}={size.value(model)}" for size in sizes)


def _enough_d_head(needed: int, budgeted: BudgetedQuantity, baseline: ModelConfig) -> int:
    """Return the smallest d_head of a baseline whose budget is at least `needed`."""
    width = find_size(baseline, "d_head")
    assert width is not None, "a dense baseline has heads"
    too_narrow = largest_that_fits(width, baseline, lambda base: budgeted.count(base) < needed)
    assert too_narrow is not None, "the baseline itself is too narrow"
    return width.value(too_narrow) + 1
