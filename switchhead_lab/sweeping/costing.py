"""The cost counter of any convention, measured ones included (free of torch until it is asked)."""

from collections.abc import Callable
from functools import cache
from typing import get_args

from switchhead_lab.budget.counter import CostCounter, closed_form_counter
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.files import near_miss
from switchhead_lab.config.sweep import Convention
from switchhead_lab.errors import ConfigError

CONVENTIONS: tuple[Convention, ...] = get_args(Convention)


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


@cache
def _executed_counter() -> CostCounter:
    """Return the counter that runs layers on the meta device, each of them once."""
    from switchhead_lab.model.executed import ExecutedCost, executed_attention, executed_feedforward

    known: dict[str, ExecutedCost] = {}

    def counted(
        model: ModelConfig, other_block: str, count: Callable[[ModelConfig], ExecutedCost]
    ) -> ExecutedCost:
        # What is left out has no part in the block's cost: d_ff varies while attention stays.
        key = model.model_dump_json(exclude={"n_layers", other_block})
        if key not in known:
            known[key] = count(model)
        return known[key]

    def attention(model: ModelConfig) -> ExecutedCost:
        return counted(model, "feedforward", executed_attention)

    return CostCounter(
        convention="executed",
        attention_macs=lambda model: attention(model).macs,
        attention_memory_floats=lambda model: attention(model).memory_floats,
        feedforward_macs=lambda model: counted(model, "attention", executed_feedforward).macs,
    )
