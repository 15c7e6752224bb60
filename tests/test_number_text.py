import pytest

from switchhead_lab.number_text import round_count, short_count, short_hours, short_time


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (None, "?"),
        (0.0, "0.00"),
        (0.004, "<0.01"),
        (0.254, "0.25"),
        (3.21, "3.2"),
        (412.3, "412"),
        (43_120.0, "43.1k"),
        (324_700.0, "325k"),
        (2_340_000.0, "2.3M"),
    ],
)
def test_hours_in_a_table(hours: float | None, text: str) -> None:
    assert short_hours(hours) == text


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0.01, "36 s"), (0.2, "12 min"), (3.21, "3.2 h"), (430.0, "18 d"), (30_000.0, "3.4 y")],
)
def test_long_times_in_a_table(hours: float, text: str) -> None:
    assert short_time(3600 * hours) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (170_400_000, "170.4M"),
        (2_037_000_000, "2.037G"),
        (47_030_000, "47.03M"),
        (999, "999"),
        (1_000, "1.000k"),
        (655_360, "655.4k"),
        (0, "0"),
        (123.456, "123.5"),
        (999_949, "999.9k"),
        (999_960, "1.000M"),
        (999.96, "1.000k"),
        (11_066_624_621_327_188, "11.07P"),
    ],
)
def test_counts_have_four_digits_and_a_unit(count: float, text: str) -> None:
    assert short_count(count) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (500e3, "500k"), (5e9, "5G"), (12.5e12, "12.5T"), (2e18, "2E")]
)
def test_round_counts_have_few_digits(count: float, text: str) -> None:
    assert round_count(count) == text
