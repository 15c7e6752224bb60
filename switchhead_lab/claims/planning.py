"""How many seeds a test will probably need."""

import math

from scipy import special

from switchhead_lab.claims.paired import Sample
from switchhead_lab.config.claims import QualityClaim

_POWER = 0.8


def seeds_needed(
    sample: Sample, distance: float, alpha: float, most: int, power: float = _POWER
) -> int | None:
    """Return the smallest number of seeds with enough power, if the estimates are true.

    Args:
        sample: Differences so far; its spread is taken as the true one.
        distance: From the observed mean to the bound that it should be told from; positive if the
            statement agrees with the mean.
        alpha: Level of the one-sided test.
        most: Largest number of seeds.
        power: Probability that the test succeeds.

    Returns:
        None if `most` seeds are not enough, or if there is no spread yet.
    """
    if sample.n < 2 or distance <= 0.0:
        return None
    deviation = sample.standard_error * math.sqrt(sample.n)
    if deviation == 0.0:
        return 2
    effect = distance / deviation
    return next((n for n in range(2, most + 1) if _power(n, effect, alpha) >= power), None)


def distance_to_bound(quality: QualityClaim, sample: Sample) -> float:
    """Return how far the mean is from the bound that it should be told from.

    Positive if the mean agrees with the claim; the nearer bound of an equivalence.
    """
    match quality.kind:
        case "equivalent":
            return quality.margin - abs(sample.mean)
        case "not_worse":
            return quality.margin - sample.mean
        case "better":
            return -quality.margin - sample.mean


def _power(n: int, effect: float, alpha: float) -> float:
    """Return the power of a one-sided t-test of n differences; the effect in deviations."""
    bound = -special.stdtrit(n - 1, alpha)
    return float(1.0 - special.nctdtr(n - 1, effect * math.sqrt(n), bound))
