"""Means over seeds, always with the number of seeds."""

import math
import statistics
from dataclasses import dataclass
from functools import cached_property

MISSING = "\N{EN DASH}"
_LARGEST_DECIMALS = 4


@dataclass(frozen=True)
class Statistics:
    """One measured quantity over the finished seeds of a model.

    Attributes:
        values: One value per finished seed, in the order of the seeds.
        n_expected: Number of declared seeds.
    """

    values: tuple[float, ...]
    n_expected: int

    @property
    def n(self) -> int:
        """Number of finished seeds."""
        return len(self.values)

    @cached_property
    def mean(self) -> float | None:
        """Mean over the finished seeds; None without one."""
        return statistics.fmean(self.values) if self.values else None

    @cached_property
    def std(self) -> float | None:
        """Sample standard deviation over the finished seeds; None without two finite values."""
        has_spread = self.n > 1 and all(map(math.isfinite, self.values))
        return statistics.stdev(self.values) if has_spread else None

    @property
    def is_complete(self) -> bool:
        """Whether every declared seed finished."""
        return self.n == self.n_expected

    @property
    def gap(self) -> str:
        """` [n of N seeds]` if seeds are missing, else empty."""
        return "" if self.is_complete else f" [{self.n} of {self.n_expected} seeds]"

    def text(self, decimals: int) -> str:
        """Format as `mean ± std (n=N)`, or a single value, with a mark of missing seeds."""
        n = f" (n={self.n})" if self.n > 1 else ""
        return f"{self.short_text(decimals).removesuffix(self.gap)}{n}{self.gap}"

    def short_text(self, decimals: int) -> str:
        """Format without n, for tables with a column of it."""
        if self.mean is None:
            return f"{MISSING}{self.gap}"
        if self.std is None:
            return f"{self.mean:,.{decimals}f}{self.gap}"
        decimals = max(decimals, _decimals_showing(self.std))
        return f"{self.mean:,.{decimals}f} ± {self.std:,.{decimals}f}{self.gap}"


def _decimals_showing(spread: float) -> int:
    """Return the decimals at which a spread does not round to zero, up to a limit."""
    if spread <= 0:
        return 0
    return min(max(0, math.ceil(-math.log10(spread))), _LARGEST_DECIMALS)
