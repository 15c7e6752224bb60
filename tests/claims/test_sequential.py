"""The error of repeated looks, by simulation with seeds of its own."""

import numpy as np
import pytest
from scipy import stats

from switchhead_lab.claims.sequential import crosses, levels, spent


def test_all_is_spent_at_the_end_and_little_before() -> None:
    assert spent(0.05, 1.0) == pytest.approx(0.05)
    # 2 - 2 * Phi(1.96 / sqrt(0.5)), from Lan and DeMets.
    assert spent(0.05, 0.5) == pytest.approx(2 * stats.norm.sf(1.959964 / 0.5**0.5), rel=1e-5)
    assert 0.0 < spent(0.05, 0.2) < 1e-4


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
@pytest.mark.parametrize("sizes", [(12,), (2, 4, 6, 8, 10, 12), (3, 5, 12), (2, 3, 4)])
def test_looking_often_does_not_cost_more_than_alpha(alpha: float, sizes: tuple[int, ...]) -> None:
    most, n_series = sizes[-1], 200_000
    x = np.random.default_rng(7).standard_normal((n_series, most)).astype(np.float32)
    crossed = np.zeros(n_series, dtype=bool)
    for size, level in zip(sizes, levels(alpha, sizes, most), strict=True):
        part = x[:, :size]
        t = part.mean(axis=1) / (part.std(axis=1, ddof=1) / np.sqrt(size))
        crossed |= t <= stats.t.ppf(level, size - 1)
    # Three standard errors of the simulation.
    error = 3 * (alpha / n_series) ** 0.5
    assert alpha * 0.9 < crossed.mean() < alpha + error


def test_levels_grow_and_depend_on_the_largest_sample() -> None:
    found = levels(0.05, (2, 4, 6), 12)
    assert list(found) == sorted(found)
    assert levels(0.05, (2, 4, 6), 6)[-1] > found[-1]
    # Later looks do not change the levels of earlier ones.
    assert levels(0.05, (2, 4, 6, 8), 12)[:3] == found


def test_a_single_look_at_the_end_is_a_plain_test() -> None:
    assert levels(0.05, (8,), 8)[0] == pytest.approx(0.05, rel=0.01)


def test_a_statement_once_shown_stays_so() -> None:
    assert crosses([0.0001, 0.9], [6, 8], 8, 0.05)
    assert not crosses([0.04, 0.9], [6, 8], 8, 0.05)
    # A sample of one has no spread, so it is no look.
    assert crosses([1.0, 0.0001], [1, 8], 8, 0.05)
    assert not crosses([1.0], [1], 8, 0.05)
