"""Output of `lab eval`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from switchhead_lab.number_text import NOTHING
from switchhead_lab.terminal_table import Table
from switchhead_lab.tracking.evaluations import Estimate, TaskResult, group_estimates

if TYPE_CHECKING:
    from switchhead_lab.reporting.zero_shot_compare import PairedDifference

_COLUMNS = ("task", "tasks", "documents", "accuracy %", "± s.e.", "chance %", "perplexity")


def result_table(name: str, results: Sequence[TaskResult]) -> Table:
    """Return the results of a model, one row per task or group of tasks."""
    groups: dict[str, list[TaskResult]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(result)
    accuracies = group_estimates(results)
    rows = [_row(group, members, accuracies[group]) for group, members in groups.items()]
    return Table(name, _COLUMNS, rows)


def _row(group: str, members: Sequence[TaskResult], accuracy: Estimate) -> list[str]:
    chance, perplexity = members[0].chance, members[0].metrics.get("perplexity")
    return [
        group,
        str(len(members)),
        f"{sum(member.n_documents for member in members):,}",
        _percent(accuracy.value),
        _percent(accuracy.stderr),
        _percent(chance),
        NOTHING if perplexity is None else _number(perplexity.value),
    ]


def results_as_data(results: Sequence[TaskResult]) -> dict[str, Any]:
    """Return the results of a model as plain data."""
    return {
        "tasks": [result.model_dump(mode="json") for result in results],
        "accuracy": {
            group: estimate.model_dump(mode="json")
            for group, estimate in group_estimates(results).items()
        },
    }


def comparison_table(first: str, second: str, differences: "Sequence[PairedDifference]") -> Table:
    """Return the paired comparison of two models, one row per task or group of tasks."""
    columns = ("task", "documents", "A %", "B %", "A - B", "95 % interval")
    rows = [
        [
            one.name,
            f"{one.n_documents:,}",
            _percent(one.first),
            _percent(one.second),
            f"{100 * one.difference:+.2f}",
            f"{100 * one.low:+.2f} to {100 * one.high:+.2f}",
        ]
        for one in differences
    ]
    return Table(f"A = {first}\nB = {second}", columns, rows)


def _percent(fraction: float | None) -> str:
    return NOTHING if fraction is None else f"{100 * fraction:.2f}"


def _number(value: float | None) -> str:
    return "inf" if value is None else f"{value:,.4g}"
