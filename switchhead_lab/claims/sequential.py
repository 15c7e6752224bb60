"""Group-sequential t-tests: looking several times at a growing sample without a larger error.

Each look spends part of the error probability, by the O'Brien-Fleming-like spending function of Lan
and DeMets: little at first, most of it at the end. The level of a look is such that a true mean at
the bound is taken for a better one, at this look or an earlier one, with the probability spent.
Levels from the normal distribution would make that error 0.054 instead of 0.05 with samples this
small, so they come from a simulation of t-tests with a fixed seed.

Source: Lan and DeMets, Biometrika 70 (1983).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special  # not stats, whose import takes a second

_N_SERIES = 1_000_000
# With fewer simulated crossings a level would be too uncertain; the bound of Bonferroni is not.
_FEWEST_CROSSINGS = 100


def spent(alpha: float, fraction: float) -> float:
    """Return the error probability that looks have spent.

    Args:
        alpha: Error probability of all looks together.
        fraction: Sample at the latest look over the largest possible one, in (0, 1].
    """
    quantile = special.ndtri(alpha / 2.0)
    return float(min(alpha, 2.0 * special.ndtr(quantile / np.sqrt(fraction))))


@lru_cache(maxsize=4096)
def levels(alpha: float, sizes: tuple[int, ...], most: int) -> tuple[float, ...]:
    """Return the level at which each look is tested.

    Args:
        alpha: Error probability of all looks together.
        sizes: Sample at each look, increasing, at least 2.
        most: Largest possible sample; a larger one counts as this.
    """
    found: list[float] = []
    statistics = _simulated(sizes)
    is_open = np.ones(_N_SERIES, dtype=bool)
    already = 0.0
    for number, size in enumerate(sizes):
        total = spent(alpha, min(1.0, size / most))
        values = statistics[number]
        n_crossings = int((total - already) * _N_SERIES)
        if n_crossings < _FEWEST_CROSSINGS:
            level = total - already
        else:
            rank = int(is_open.sum()) - n_crossings
            boundary = np.partition(values[is_open], rank)[rank]
            level = float(special.stdtr(size - 1, -boundary))
        is_open &= values < -special.stdtrit(size - 1, level)
        found.append(level)
        already = total
    return tuple(found)


def crosses(p_values: Sequence[float], sizes: Sequence[int], most: int, alpha: float) -> bool:
    """Return whether a series of looks shows its statement.

    Args:
        p_values: One-sided p-value at each look.
        sizes: Sample at each look.
        most: Largest possible sample.
        alpha: Error probability of all looks together.
    """
    known = [(p, n) for p, n in zip(p_values, sizes, strict=True) if n > 1]
    bounds = levels(alpha, tuple(n for _, n in known), most)
    return any(p <= level for (p, _), level in zip(known, bounds, strict=True))


@lru_cache(maxsize=8)
def _simulated(sizes: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return t-statistics of simulated series with mean zero, shape [looks, series]."""
    generator = np.random.default_rng(0)
    statistics = np.empty((len(sizes), _N_SERIES), dtype=np.float32)
    total, squares = np.zeros(_N_SERIES), np.zeros(_N_SERIES)
    n = 0
    for number, size in enumerate(sizes):
        for _ in range(size - n):
            values = generator.standard_normal(_N_SERIES)
            total += values
            squares += values * values
        n = size
        variance = (squares - total * total / n) / (n - 1)
        statistics[number] = total / np.sqrt(n * np.maximum(variance, 1e-12))
    return statistics
