"""Zero-shot metrics of runs as claims compare them, and what is missing of them."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from switchhead_lab.config.claimed import TaskQuantity
from switchhead_lab.config.zero_shot import tasks_named
from switchhead_lab.reporting.commands import how_to
from switchhead_lab.reporting.report_data import MemberRun, ModelRow, ReportData
from switchhead_lab.reporting.zero_shot import read_results
from switchhead_lab.reporting.zero_shot_compare import describe_other_documents
from switchhead_lab.tracking.evaluations import (
    HARNESS_NAMES,
    TaskResult,
    evaluation_dir,
    mean_estimate,
)

# Other fields that change the result of given weights and documents.
_CONDITIONS = ("precision", "harness")


def results_of(run: MemberRun, quantity: TaskQuantity) -> list[TaskResult]:
    """Return a run's available results of a quantity's tasks, in the order of the tasks."""
    results, name = read_results(run), HARNESS_NAMES[quantity.metric_name]
    found = [results[task] for task in quantity.tasks if task in results]
    return [result for result in found if name in result.metrics]


def task_value(run: MemberRun, quantity: TaskQuantity) -> float | None:
    """Return a quantity as recorded: NaN if infinite, None if the run lacks a task."""
    results, name = results_of(run, quantity), HARNESS_NAMES[quantity.metric_name]
    if len(results) < len(quantity.tasks):
        return None
    value = mean_estimate([result.metrics[name] for result in results]).value
    return math.nan if value is None else value


def evaluation_folder(run: MemberRun) -> Path:
    """Return the folder of a finished run's results."""
    assert run.run is not None, "a finished run has a record"
    return evaluation_dir(run.run.directory)


def gaps_of(quantity: TaskQuantity, runs: Sequence[MemberRun]) -> Iterator[str]:
    """Yield why finished runs cannot be compared: missing tasks, other documents or conditions.

    Args:
        quantity: What is compared.
        runs: Every run of the comparison.
    """
    by_model: dict[str, list[str]] = {}
    for run in runs:
        n, n_all = len(results_of(run, quantity)), len(quantity.tasks)
        if n < n_all:
            seed = f"seed {run.member.seed}" + (f" ({n} of {n_all} tasks)" if n_all > 1 else "")
            by_model.setdefault(run.member.model, []).append(seed)
    for model, seeds in by_model.items():
        yield f"{model} is not evaluated on {quantity.name}: {', '.join(seeds)}."
    if not by_model:
        yield from list(_unlike(quantity, runs))[:1]


def _unlike(quantity: TaskQuantity, runs: Sequence[MemberRun]) -> Iterator[str]:
    """Yield the tasks on which a run's documents or conditions differ from those of the first."""
    results = [results_of(run, quantity) for run in runs]
    for of_task in zip(*results, strict=True):
        for other in of_task[1:]:
            if text := _describe_unlike(of_task[0], other):
                yield f"{text}."


def _describe_unlike(first: TaskResult, second: TaskResult) -> str:
    """Return how two results of a task differ in documents or conditions; empty if they do not."""
    for field in _CONDITIONS:
        ours, theirs = getattr(first, field), getattr(second, field)
        if ours != theirs:
            return (
                f"{first.task}: {first.model} and {second.model} were not evaluated alike "
                f"({field}: {ours} and {theirs})"
            )
    return describe_other_documents(first, second)


def how_to_evaluate(data: ReportData) -> str:
    """Return a clause with the command that evaluates what a sweep lacks."""
    return how_to(data.record.sweep, data.sweeps_dir, "evaluates what is missing")


def unevaluated_lines(data: ReportData) -> Iterator[str]:
    """Yield the models of a sweep that lack results of the tasks it asks for."""
    wanted = data.record.sweep.evaluation
    if wanted is None:
        return
    tasks = [task.name for task in tasks_named(wanted.tasks)]
    for row in data.models:
        if seeds := list(_unevaluated_seeds(row, tasks)):
            yield (
                f"INCOMPLETE: {row.name} lacks zero-shot results ({', '.join(seeds)}); "
                f"{how_to_evaluate(data)}."
            )


def _unevaluated_seeds(row: ModelRow, tasks: Sequence[str]) -> Iterator[str]:
    for run in row.finished:
        n = sum(task in read_results(run) for task in tasks)
        if n < len(tasks):
            yield f"seed {run.member.seed}: {n} of {len(tasks)} tasks"
