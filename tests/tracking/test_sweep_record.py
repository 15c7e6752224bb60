from typing import Any

import pytest
from tiny_sweep import DECLARATION

from switchhead_lab.budget.counter import closed_form_counter
from switchhead_lab.budget.matching import baseline_model
from switchhead_lab.budget.model_costs import count_costs
from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.search import StudyObjective
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.objectives.metrics import LOSS, PERPLEXITY
from switchhead_lab.tracking.record import RunResult
from switchhead_lab.tracking.sweep_record import read_objective, sweep_id


def sweep_with(**changes: Any) -> Sweep:
    return parse(Sweep, merge_trees(DECLARATION, changes), "test")


def test_a_search_reads_metrics_of_the_validation_split(result: RunResult) -> None:
    """The test split must not choose a candidate."""
    sweep = sweep_with()
    costs = count_costs(
        baseline_model(sweep), [closed_form_counter("published")], 256, convention="published"
    )
    for metric in (LOSS, PERPLEXITY):
        objective = StudyObjective(f"validation/{metric.name}", metric)
        value = read_objective(objective, result, costs)
        assert value == result.validation[metric.name] != result.test[metric.name]
    for name, expected in (
        ("macs", costs.macs),
        ("parameters", costs.n_parameters),
        ("memory_floats", costs.memory_floats),
    ):
        assert read_objective(StudyObjective(name, None), result, costs) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"learning_rate": 1e-3}},
        {"model": {"d_model": 32}},
        {"data": {"corpus": "other"}},
        {"matching": "mac_matched"},
        {"convention": "equations"},
        {"baseline": {"d_ff": 48}},
        {"objective": {"kind": "language_model"}, "size": "large"},
    ],
    ids=str,
)
def test_what_makes_runs_incomparable_makes_another_sweep(changes: dict[str, Any]) -> None:
    assert sweep_id(sweep_with(**changes)) != sweep_id(sweep_with())


@pytest.mark.parametrize(
    "changes",
    [
        {"models": []},
        {"baseline": {"seeds": [0, 1, 2]}},
        {"summary": "other words"},
        {"n_tuning_trials": 7},
    ],
    ids=str,
)
def test_more_models_seeds_or_trials_continue_a_sweep(changes: dict[str, Any]) -> None:
    assert sweep_id(sweep_with(**changes)) == sweep_id(sweep_with())
