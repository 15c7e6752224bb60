import math

import pytest

from switchhead_lab.reporting.statistics import Statistics


def test_std_is_the_sample_standard_deviation():
    statistics = Statistics((1.0, 2.0, 4.0), 3)
    mean = 7 / 3
    assert statistics.mean == pytest.approx(mean)
    expected = math.sqrt(sum((x - mean) ** 2 for x in (1.0, 2.0, 4.0)) / 2)
    assert statistics.std == pytest.approx(expected)


def test_one_value_has_no_std_and_no_plus_minus():
    statistics = Statistics((35.25,), 1)
    assert statistics.std is None
    assert statistics.text(2) == "35.25"


@pytest.mark.parametrize(
    ("values", "n_expected", "text", "short"),
    [
        ((35.0, 35.2), 2, "35.10 ± 0.14 (n=2)", "35.10 ± 0.14"),
        ((35.0, 35.2), 3, "35.10 ± 0.14 (n=2) [2 of 3 seeds]", "35.10 ± 0.14 [2 of 3 seeds]"),
        ((35.0,), 3, "35.00 [1 of 3 seeds]", "35.00 [1 of 3 seeds]"),
        ((), 3, "– [0 of 3 seeds]", "– [0 of 3 seeds]"),  # noqa: RUF001
        ((1.0, 1.0004), 2, "1.0002 ± 0.0003 (n=2)", "1.0002 ± 0.0003"),
        ((2.0, 2.0), 2, "2.00 ± 0.00 (n=2)", "2.00 ± 0.00"),
        ((1234.5,), 1, "1,234.50", "1,234.50"),
    ],
)
def test_text_has_the_number_of_seeds(values, n_expected, text, short):
    statistics = Statistics(values, n_expected)
    assert statistics.text(2) == text
    assert statistics.short_text(2) == short


def test_an_infinite_value_has_no_spread():
    statistics = Statistics((math.inf, 12.0), 2)
    assert statistics.mean == math.inf
    assert statistics.std is None
    assert statistics.text(2) == "inf (n=2)"
