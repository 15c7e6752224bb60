"""What one seed can say: bootstraps over documents, those of a split or of zero-shot tasks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_N_RESAMPLES = 10_000
_N_TASK_RESAMPLES = 2_000
_LEVEL = 0.95


@dataclass(frozen=True)
class DocumentDifference:
    """Difference of two models' mean losses on the same documents.

    Attributes:
        nats: Mean loss per token of the first model minus that of the second.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n_documents: Documents that were resampled.
    """

    nats: float
    low: float
    high: float
    n_documents: int


def document_difference(
    ours: Sequence[float], theirs: Sequence[float], n_targets: Sequence[int]
) -> DocumentDifference:
    """Resample documents, with their tokens, and return the interval of the difference.

    It covers which documents were scored, not how training varies with the seed. The generator's
    seed is fixed.

    Args:
        ours: Summed loss of each document in nats.
        theirs: The same of the other model.
        n_targets: Predicted tokens of each document.
    """
    differences, weights = np.subtract(ours, theirs), np.asarray(n_targets)
    n = len(weights)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1.0 / n), size=_N_RESAMPLES)
    resampled = (counts @ differences) / (counts @ weights)
    estimate = differences.sum() / weights.sum()
    return DocumentDifference(float(estimate), *_interval(resampled), n)


@dataclass(frozen=True)
class TaskDifference:
    """Difference of two models' metrics on the same documents of one or several tasks.

    Attributes:
        first: Metric of the first model, the unweighted mean over tasks.
        second: That of the second.
        low: Lower end of the 95 % interval of first - second.
        high: Upper end.
    """

    first: float
    second: float
    low: float
    high: float


Values = npt.NDArray[np.float64]


def task_difference(
    tasks: Sequence[tuple[Sequence[float], Sequence[float]]], metric_of: Callable[[Values], Values]
) -> TaskDifference:
    """Resample documents in pairs within each task, and return the interval of the difference.

    It covers which documents were asked, not how training varies with the seed. The generator's
    seed is fixed.

    Args:
        tasks: Values of each document of each task, of the first and of the second model.
        metric_of: Returns the metric of a task from means of its documents' values, elementwise.
    """
    generator = np.random.default_rng(0)
    metrics, resampled = np.zeros(2), np.zeros(_N_TASK_RESAMPLES)
    for values in tasks:
        pairs = np.array(values, dtype=np.float64).T
        metrics += metric_of(pairs.mean(axis=0))
        first, second = metric_of(_resampled_means(pairs, generator)).T
        resampled += first - second
    first, second = metrics / len(tasks)
    return TaskDifference(float(first), float(second), *_interval(resampled / len(tasks)))


def _resampled_means(pairs: Values, generator: np.random.Generator) -> Values:
    """Return the means of each resample of documents, shape [_N_TASK_RESAMPLES, 2]."""
    n = len(pairs)
    # Right and wrong answers make four different pairs, whose counts say all of a resample.
    different, counts = np.unique(pairs, axis=0, return_counts=True)
    drawn = generator.multinomial(n, counts / n, size=_N_TASK_RESAMPLES)
    means: Values = drawn @ different / n
    return means


def _interval(resampled: Values) -> tuple[float, float]:
    tail = (1.0 - _LEVEL) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return float(low), float(high)
