"""Cost counters of all conventions; torch is imported only to count `executed` costs."""

from collections.abc import Callable
from functools import cache

from switchhead_lab.budget.counter import CostCounter, closed_form_counter
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.cost_names import CONVENTIONS
from switchhead_lab.config.files import near_miss
from switchhead_lab.errors import ConfigError
from switchhead_lab.variants.base import Cost


def find_counter(convention: str) -> CostCounter:
    """Return the counter of a convention by its name.

    Raises:
        ConfigError: If there is no such convention.
    """
    found = next((known for known in CONVENTIONS if known == convention), None)
    match found:
        case None:
            raise ConfigError(
                f'convention "{convention}"{near_miss(convention, CONVENTIONS)}: '
                f"use {', '.join(CONVENTIONS[:-1])} or {CONVENTIONS[-1]}"
            )
        case "executed":
            return _executed_counter()
        case formula:
            return closed_form_counter(formula)


def all_counters() -> list[CostCounter]:
    """Return the counter of every convention."""
    return [find_counter(convention) for convention in CONVENTIONS]


@cache
def _executed_counter() -> CostCounter:
    """Return the counter that runs layers on the meta device, each layer once (cached)."""
    from switchhead_lab.model.executed import ExecutedCost, executed_attention, executed_feedforward

    known: dict[str, Cost] = {}

    def counted(
        model: ModelConfig, other_block: str, count: Callable[[ModelConfig], ExecutedCost]
    ) -> Cost:
        # Other fields do not affect the block's cost: d_ff varies while attention does not change.
        key = model.model_dump_json(exclude={"n_layers", other_block})
        if key not in known:
            executed = count(model)
            known[key] = Cost(executed.macs, executed.memory_floats)
        return known[key]

    return CostCounter(
        convention="executed",
        attention=lambda model: counted(model, "feedforward", executed_attention),
        feedforward=lambda model: counted(model, "attention", executed_feedforward),
    )
