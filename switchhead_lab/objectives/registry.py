"""Registry of objectives by kind."""

from collections.abc import Mapping
from typing import TypeVar

from switchhead_lab.errors import ConfigError
from switchhead_lab.objectives.base import Objective
from switchhead_lab.variants.registry import OneOf, add_kind, remove_kinds

ObjectiveT = TypeVar("ObjectiveT", bound=Objective)
_known: dict[str, type[Objective]] = {}


def register_objective(objective: type[ObjectiveT]) -> type[ObjectiveT]:
    """Register an objective under its kind; a class decorator.

    Raises:
        ConfigError: If the class is not an objective, lacks an attribute, or its kind is taken.
    """
    _require_objective(objective)
    add_kind(_known, objective, "an objective")
    return objective


def objectives() -> Mapping[str, type[Objective]]:
    """Return the registered objectives by kind."""
    return _known


def unregister_objectives(module: str) -> None:
    """Remove the objectives that a module registered."""
    remove_kinds(_known, module)


def any_objective() -> OneOf:
    """Return the annotation of a field that holds any registered objective."""
    return OneOf(objectives)


def _require_objective(objective: type[Objective]) -> None:
    name = objective.__name__
    if not issubclass(objective, Objective):
        raise ConfigError(f"{name}: derive it from Objective")
    lacking = sorted(objective.__abstractmethods__)
    lacking += [
        attribute
        for attribute in ("metrics", "headline", "module")
        if not hasattr(objective, attribute)
        and not (attribute == "module" and "build" in vars(objective))
    ]
    if lacking:
        raise ConfigError(f"{name}: lacks {', '.join(lacking)}")
    metrics, headline = objective.all_metrics(), objective.headline
    names = [metric.name for metric in metrics]
    if len(set(names)) < len(names):
        raise ConfigError(f"{name}: two metrics share a name: {', '.join(names)}")
    if headline not in metrics:
        raise ConfigError(
            f'{name}: headline "{headline.name}" is not one of its metrics; use {", ".join(names)}'
        )
    if not headline.lower_is_better and not headline.complement:
        raise ConfigError(
            f'{name}: higher is better for headline "{headline.name}", but figures show '
            "metrics where lower is better; name 1 - value in its `complement`"
        )
