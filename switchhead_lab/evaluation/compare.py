"""Paired comparison of two models on the same documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.evaluations import TaskResult, read_samples, read_task_results

N_RESAMPLES = 2_000
_LEVEL = 0.95
_METRIC = "acc"


@dataclass(frozen=True)
class PairedDifference:
    """Difference of two models' accuracies on the same documents.

    Attributes:
        name: Name of the task, or of the group whose unweighted mean it is.
        n_tasks: Tasks in the mean.
        n_documents: Documents of all of them.
        first: Accuracy of the first model.
        second: Accuracy of the second.
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
        """Accuracy of the first minus that of the second."""
        return self.first - self.second


def compare_results(first: Path, second: Path) -> list[PairedDifference]:
    """Compare two models on every task that both were evaluated on, group by group.

    The interval is a bootstrap over documents, resampled in pairs within each task. It covers which
    documents were asked, not how training varies with the seed. The generator's seed is fixed.

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
            _require_same_documents(result, theirs[name])
            groups.setdefault(result.group, []).append(result)
    if not groups:
        raise RecordError(
            f"{first} and {second}: no task that both were evaluated on; run `lab eval` for both"
        )
    return [_compare(name, group, first, second) for name, group in groups.items()]


def _require_same_documents(first: TaskResult, second: TaskResult) -> None:
    for field in ("documents_sha256", "documents_version", "version", "n_documents"):
        ours, theirs = getattr(first, field), getattr(second, field)
        if ours != theirs:
            raise RecordError(
                f"{first.task}: {first.model} and {second.model} were not asked the same documents "
                f"({field}: {ours} and {theirs}); run `lab eval` for both on the same data"
            )


def _compare(name: str, group: Sequence[TaskResult], first: Path, second: Path) -> PairedDifference:
    generator = np.random.default_rng(0)
    means, resampled = [], np.zeros(N_RESAMPLES)
    for result in group:
        pairs = [_values(folder, result.task) for folder in (first, second)]
        if len(pairs[0]) != len(pairs[1]):
            raise RecordError(f"{result.task}: samples are missing; run `lab eval` again for both")
        means.append([values.mean() for values in pairs])
        resampled += _resampled_means(pairs[0] - pairs[1], generator)
    tail = (1.0 - _LEVEL) / 2.0
    low, high = np.quantile(resampled / len(group), [tail, 1.0 - tail])
    ours, theirs = np.mean(means, axis=0)
    return PairedDifference(
        name=name,
        n_tasks=len(group),
        n_documents=sum(result.n_documents for result in group),
        first=float(ours),
        second=float(theirs),
        low=float(low),
        high=float(high),
    )


def _values(directory: Path, task: str) -> NDArray[np.float64]:
    return np.array([sample.metrics[_METRIC] for sample in read_samples(directory, task)])


def _resampled_means(
    differences: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the mean of each resample of documents, shape [N_RESAMPLES]."""
    n = len(differences)
    # Accuracies differ by -1, 0 or 1, so that counts of each value say all of a resample.
    values, counts = np.unique(differences, return_counts=True)
    drawn = generator.multinomial(n, counts / n, size=N_RESAMPLES)
    means: NDArray[np.float64] = drawn @ values / n
    return means
