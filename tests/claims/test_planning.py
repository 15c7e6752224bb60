import numpy as np
import pytest
from scipy import stats

from switchhead_lab.claims.paired import Sample
from switchhead_lab.claims.planning import seeds_needed


def sample_of(deviation: float, n: int = 4) -> Sample:
    return Sample(n, 0.0, deviation / n**0.5)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 1.5])
def test_that_many_seeds_have_the_power_and_fewer_do_not(deviation: float) -> None:
    found = seeds_needed(sample_of(deviation), 1.0, 0.05, 50)
    assert found is not None
    assert simulated_power(found, deviation) > 0.78
    assert simulated_power(found - 1, deviation) < 0.82


def simulated_power(n: int, deviation: float) -> float:
    x = np.random.default_rng(n).normal(-1.0, deviation, (100_000, n))
    return float((stats.ttest_1samp(x, 0.0, axis=1, alternative="less").pvalue <= 0.05).mean())


def test_nothing_is_promised_without_a_spread_or_against_the_mean() -> None:
    assert seeds_needed(Sample.of([1.0]), 1.0, 0.05, 50) is None
    assert seeds_needed(sample_of(1.0), -0.1, 0.05, 50) is None
    assert seeds_needed(sample_of(10.0), 1.0, 0.05, 12) is None
    assert seeds_needed(Sample(3, 0.0, 0.0), 0.1, 0.05, 12) == 2
