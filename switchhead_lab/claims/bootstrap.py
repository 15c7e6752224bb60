"""What one seed can say: a bootstrap over the documents of a split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_N_RESAMPLES = 10_000
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
    tail = (1.0 - _LEVEL) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    estimate = differences.sum() / weights.sum()
    return DocumentDifference(float(estimate), float(low), float(high), n)
