"""Registering objectives, and errors for invalid ones."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest

from switchhead_lab.errors import ConfigError
from switchhead_lab.objectives import registry
from switchhead_lab.objectives.base import Objective, Task
from switchhead_lab.objectives.metrics import ACCURACY, LOSS, PERPLEXITY, Metric
from switchhead_lab.objectives.registry import objectives, register_objective

MakeObjective = Callable[..., type[Objective]]


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_known", dict(registry._known))


def make_objective(name: str = "mine", **attributes: Any) -> type[Objective]:
    class Mine(Objective):
        metrics: ClassVar[tuple[Metric, ...]] = attributes.get("metrics", (PERPLEXITY,))
        headline: ClassVar[Metric] = attributes.get("headline", LOSS)
        module: ClassVar[str] = "mine:Mine"

        kind: Literal["mine"]

        def require_possible(self, task: Task) -> None: ...

        def n_outputs(self, task: Task) -> int:
            return task.vocab_size

        def target_shape(self, batch_size: int, seq_len: int) -> tuple[int, ...]:
            return (batch_size, seq_len)

    Mine.__qualname__ = name
    return Mine


def test_an_objective_is_known_by_its_kind() -> None:
    mine = register_objective(make_objective())
    assert objectives()["mine"] is mine
    again = register_objective(make_objective())
    assert objectives()["mine"] is again


def test_a_taken_kind_is_rejected() -> None:
    register_objective(make_objective())
    with pytest.raises(
        ConfigError, match='of kind "mine" is already registered, by .*mine; choose'
    ):
        register_objective(make_objective("other"))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"headline": ACCURACY}, 'headline "accuracy" is not one of its metrics; use loss_nats, p'),
        ({"metrics": (PERPLEXITY, LOSS)}, "two metrics share a name: loss_nats, perplexity, loss_"),
        (
            {
                "metrics": (replace(ACCURACY, complement=""),),
                "headline": replace(ACCURACY, complement=""),
            },
            'higher is better for headline "accuracy".*`complement`',
        ),
    ],
)
def test_inconsistent_metrics_are_rejected(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        register_objective(make_objective(**attributes))


def test_incomplete_objectives_are_rejected() -> None:
    class Lacking(Objective):
        kind: Literal["lacking"]

    with pytest.raises(
        ConfigError, match="lacks n_outputs, require_possible, target_shape, metrics, headline, mod"
    ):
        register_objective(Lacking)
    with pytest.raises(ConfigError, match="derive it from Objective"):
        register_objective(Metric)  # type: ignore[type-var]
