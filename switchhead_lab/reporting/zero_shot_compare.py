"""Paired comparison of two models on the same documents of zero-shot tasks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from switchhead_lab.claims.bootstrap import Values, task_difference
from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.evaluations import (
    ACCURACY,
    PERPLEXITY,
    TaskResult,
    read_samples,
    read_task_results,
)

_MOST_NATS = 700.0  # exp of more overflows


@dataclass(frozen=True)
class PairedDifference:
    """Difference of two models' metrics on the same documents.

    Attributes:
        name: Name of the task, or of the group whose unweighted mean it is.
        n_tasks: Tasks in the mean.
        n_documents: Documents of all of them.
        first: Metric of the first model: accuracy as a fraction, or perplexity.
        second: That of the second.
        low: Lower end of the 95 % interval of first - second.
        high: Upper end.
    """

    name: str
    n_tasks: int
    n_documents: int
    first: float
    second: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Metric of the first minus that of the second."""
        return self.first - self.second


def compare_results(first: Path, second: Path) -> list[PairedDifference]:
    """Compare the accuracies of two models on every task that both have, group by group.

    For the interval see `task_difference`.

    Args:
        first: Folder of the first model's results.
        second: Folder of the second's.

    Raises:
        RecordError: If they have no task in common, or results are damaged or of other documents.
    """
    ours = {result.task: result for result in read_task_results(first)}
    theirs = {result.task: result for result in read_task_results(second)}
    groups: dict[str, list[TaskResult]] = {}
    for name, result in ours.items():
        if name in theirs:
            if difference := describe_other_documents(result, theirs[name]):
                raise RecordError(f"{difference}; run `lab eval` for both on the same data")
            groups.setdefault(result.group, []).append(result)
    if not groups:
        raise RecordError(
            f"{first} and {second}: no task that both were evaluated on; run `lab eval` for both"
        )
    return [compare_tasks(name, group, first, second) for name, group in groups.items()]


def describe_other_documents(first: TaskResult, second: TaskResult) -> str:
    """Return how the documents of two results of a task differ; empty if they are the same."""
    for field in ("documents_sha256", "documents_version", "version", "n_documents"):
        ours, theirs = getattr(first, field), getattr(second, field)
        if ours != theirs:
            return (
                f"{first.task}: {first.model} and {second.model} were not asked the same documents "
                f"({field}: {ours} and {theirs})"
            )
    return ""


def compare_tasks(
    name: str, tasks: Sequence[TaskResult], first: Path, second: Path, metric: str = ACCURACY
) -> PairedDifference:
    """Compare a metric of two models on tasks, as their unweighted mean.

    Args:
        name: Name of the task or of the mean.
        tasks: Results of either model, whose documents are those of both.
        first: Folder of the first model's results.
        second: Folder of the second's.
        metric: Name of the metric, by the harness.

    Raises:
        RecordError: If samples are missing or damaged.
    """
    values = [(_values(first, result, metric), _values(second, result, metric)) for result in tasks]
    return PairedDifference(
        name=name,
        n_tasks=len(tasks),
        n_documents=sum(result.n_documents for result in tasks),
        **asdict(task_difference(values, _OF_MEANS[metric])),
    )


def _values(directory: Path, result: TaskResult, metric: str) -> list[float]:
    samples = read_samples(directory, result.task)
    if len(samples) != result.n_documents:
        raise RecordError(f"{result.task}: samples are missing; run `lab eval` again for both")
    return [sample.metrics[metric] for sample in samples]


def _perplexity(log_likelihood: Values) -> Values:
    return np.exp(np.minimum(-log_likelihood, _MOST_NATS))


_OF_MEANS: Mapping[str, Callable[[Values], Values]] = {
    ACCURACY: lambda means: means,
    PERPLEXITY: _perplexity,
}
