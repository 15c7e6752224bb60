"""One-sided t-tests on differences that are paired by seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special


@dataclass(frozen=True)
class Sample:
    """Differences of two models, one per seed.

    Attributes:
        n: Number of differences.
        mean: Their mean.
        standard_error: Standard error of the mean; NaN with a single difference.
    """

    n: int
    mean: float
    standard_error: float

    @classmethod
    def of(cls, differences: Sequence[float]) -> "Sample":
        """Summarise differences.

        Args:
            differences: At least one.
        """
        n, mean = len(differences), math.fsum(differences) / len(differences)
        squares = math.fsum((value - mean) ** 2 for value in differences)
        return cls(n, mean, math.sqrt(squares / (n - 1) / n) if n > 1 else math.nan)

    def p_below(self, bound: float) -> float:
        """Return the p-value of "the true mean is below a bound"; 1 with a single difference."""
        if self.n < 2:
            return 1.0
        if self.standard_error == 0.0:
            return 0.0 if self.mean < bound else 1.0
        return float(special.stdtr(self.n - 1, (self.mean - bound) / self.standard_error))

    def p_above(self, bound: float) -> float:
        """Return the p-value of "the true mean is above a bound"; 1 with a single difference."""
        return Sample(self.n, -self.mean, self.standard_error).p_below(-bound)

    def interval(self, level: float) -> tuple[float, float] | None:
        """Return the interval whose ends are one-sided confidence bounds; None without a spread.

        Args:
            level: Error probability on each side.
        """
        if self.n < 2:
            return None
        half = float(special.stdtrit(self.n - 1, 1.0 - level)) * self.standard_error
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Evidence:
    """P-values for and against a statement about the true mean.

    Attributes:
        supports: P-value of the statement.
        refutes: P-value of its opposite.
    """

    supports: float
    refutes: float


def equivalent(sample: Sample, margin: float) -> Evidence:
    """Test that the true mean is within a margin of zero, by two one-sided tests.

    Both one-sided tests must succeed for support, so neither needs a correction; either one may
    refute, so those are corrected for two.

    Source: Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987).
    """
    return Evidence(
        supports=max(sample.p_below(margin), sample.p_above(-margin)),
        refutes=min(1.0, 2.0 * min(sample.p_above(margin), sample.p_below(-margin))),
    )


def below(sample: Sample, bound: float) -> Evidence:
    """Test that the true mean is below a bound."""
    return Evidence(supports=sample.p_below(bound), refutes=sample.p_above(bound))
