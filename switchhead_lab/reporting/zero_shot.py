"""Zero-shot accuracies of a sweep's models, as `lab eval` recorded them beside their runs.

Pocket tasks and those of the paper are never mixed: groups of tasks keep their own names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.report_data import MemberRun, ModelRow, ReportData
from switchhead_lab.reporting.statistics import MISSING, Statistics
from switchhead_lab.tracking.evaluations import (
    TaskResult,
    evaluation_dir,
    group_estimates,
    read_task_results,
)

PAPER_SCORES: Mapping[str, tuple[str, ...]] = {
    "lambada": ("lambada_openai",),
    "blimp": ("blimp",),
    "cbt": ("cbt_cn", "cbt_ne"),
}
"""Groups of tasks whose mean a column of Tables 4 and 8 prints, by the column's key."""
_DECIMALS = 2
CAPTION = (
    "Accuracy in percent, mean ± sample standard deviation over n seeds; a group of tasks is their "
    "unweighted mean. Tasks named pocket are made from the embedded corpus, the others are as "
    "published. The standard error over documents is in the runs' folders."
)


@dataclass(frozen=True)
class Scores:
    """Accuracies of one run.

    Attributes:
        accuracy: Fraction of right answers by group of tasks.
        n_tasks: Tasks of each group.
    """

    accuracy: Mapping[str, float]
    n_tasks: Mapping[str, int]


def read_results(run: MemberRun) -> Mapping[str, TaskResult]:
    """Return what `lab eval` recorded for a run, by task; empty if nothing.

    Raises:
        RecordError: If a result is damaged.
    """
    if run.run is None:
        return {}
    directory = evaluation_dir(run.run.directory)
    return _results(directory, _stamps(directory))


def _stamps(directory: Path) -> tuple[tuple[str, int], ...]:
    return tuple((path.name, path.stat().st_mtime_ns) for path in sorted(directory.glob("*.json")))


@cache
def _results(directory: Path, _stamps: tuple[tuple[str, int], ...]) -> Mapping[str, TaskResult]:
    """Read each run's results once; several tables and claims need them."""
    return {result.task: result for result in read_task_results(directory)}


def read_scores(run: MemberRun) -> Scores:
    """Return the accuracies that `lab eval` recorded for a run; empty if none.

    Raises:
        RecordError: If a result is damaged.
    """
    results = read_results(run).values()
    found = group_estimates(results)
    return Scores(
        {group: one.value for group, one in found.items() if one.value is not None},
        _count(results),
    )


def _count(results: Iterable[TaskResult]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for result in results:
        counts[result.group] = counts.get(result.group, 0) + 1
    return counts


def _by_run(row: ModelRow, groups: Sequence[str]) -> dict[str, float]:
    """Return the accuracy of each run in percent, the mean over groups, by its name.

    Runs that lack a group, or some of the tasks that another seed has, are missing.
    """
    scores = {run.member.run_name: read_scores(run) for run in row.finished}
    n_tasks = {
        group: max((one.n_tasks.get(group, 0) for one in scores.values()), default=0)
        for group in groups
    }
    return {
        name: 100.0 * sum(one.accuracy[group] for group in groups) / len(groups)
        for name, one in scores.items()
        if all(one.n_tasks.get(group, 0) == n_tasks[group] > 0 for group in groups)
    }


def score_cell(row: ModelRow, groups: Sequence[str]) -> Cell | None:
    """Make the cell of a model's accuracy in percent; None if no run has one."""
    by_run = _by_run(row, groups)
    found = Statistics(tuple(by_run.values()), len(row.seeds))
    if found.mean is None:
        return None
    text = found.short_text(_DECIMALS)
    return Cell(text, found.mean, found.std, values=found.values, runs=tuple(by_run))


def zero_shot_grid(data: ReportData) -> Grid | None:
    """Build the table of accuracies by model and group of tasks; None without any."""
    groups = list(
        dict.fromkeys(
            group
            for row in data.models
            for run in row.finished
            for group in read_scores(run).accuracy
        )
    )
    if not groups:
        return None
    columns = (
        Column("model", "model", is_text=True),
        Column("n_seeds", "n"),
        *(Column(group, group.replace("_", " "), is_mean=True) for group in groups),
    )
    rows = []
    for row in data.models:
        cells = [score_cell(row, [group]) or Cell(MISSING) for group in groups]
        n = max(len(cell.values) for cell in cells)
        rows.append((Cell(row.name, row.name), Cell(str(n), n), *cells))
    return Grid("zero-shot", columns, tuple(rows))
