"""One-sided tests on paired differences, against SciPy and by hand."""

import math

import pytest
from scipy import stats

from switchhead_lab.claims.paired import Sample, below, equivalent

DIFFERENCES = [0.01, -0.02, 0.03, 0.015, -0.005]


@pytest.mark.parametrize("bound", [-0.05, 0.0, 0.02])
def test_p_values_are_those_of_scipy(bound: float) -> None:
    sample = Sample.of(DIFFERENCES)
    less = stats.ttest_1samp(DIFFERENCES, bound, alternative="less").pvalue
    assert sample.p_below(bound) == pytest.approx(less)
    assert sample.p_above(bound) == pytest.approx(1.0 - less)


def test_interval_agrees_with_the_p_values() -> None:
    sample = Sample.of(DIFFERENCES)
    interval = sample.interval(0.05)
    assert interval is not None
    low, high = interval
    assert sample.p_above(low) == pytest.approx(0.05)
    assert sample.p_below(high) == pytest.approx(0.05)


def test_a_single_difference_shows_nothing() -> None:
    sample = Sample.of([-1.0])
    assert (sample.n, sample.mean) == (1, -1.0)
    assert math.isnan(sample.standard_error)
    assert sample.interval(0.05) is None
    assert below(sample, 0.0).supports == below(sample, 0.0).refutes == 1.0


def test_equal_differences_are_certain() -> None:
    """Two deterministic runs of equal models differ by exactly nothing."""
    sample = Sample.of([0.0, 0.0])
    evidence = equivalent(sample, 0.01)
    assert (evidence.supports, evidence.refutes) == (0.0, 1.0)
    assert below(sample, 0.0).supports == 1.0


def test_equivalence_takes_the_worse_of_two_tests() -> None:
    sample = Sample.of(DIFFERENCES)
    evidence = equivalent(sample, 0.02)
    assert evidence.supports == max(sample.p_below(0.02), sample.p_above(-0.02))
    assert evidence.supports == sample.p_below(0.02)  # the mean is above zero


def test_refuting_equivalence_is_corrected_for_two_sides() -> None:
    sample = Sample.of([0.1, 0.11, 0.12])
    assert equivalent(sample, 0.01).refutes == pytest.approx(2.0 * sample.p_above(0.01))
    mirrored = Sample.of([-0.1, -0.11, -0.12])
    assert equivalent(mirrored, 0.01).refutes == pytest.approx(equivalent(sample, 0.01).refutes)
