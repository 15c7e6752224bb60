import pytest

from switchhead_lab.claims.holm import Crosses, holm


def with_p(p: float) -> Crosses:
    return lambda share: p <= share


def shown(p_values: list[float], alpha: float = 0.05) -> list[bool]:
    return [decision.is_shown for decision in holm([with_p(p) for p in p_values], alpha)]


def test_shares_of_what_is_shown_go_to_the_others() -> None:
    # 0.05 / 3, then 0.05 / 2, then 0.05.
    decisions = holm([with_p(0.04), with_p(0.01), with_p(0.02)], 0.05)
    assert [decision.is_shown for decision in decisions] == [True, True, True]
    shares = [decision.share for decision in decisions]
    assert shares == pytest.approx([0.05, 0.05 / 3, 0.05 / 2])


def test_the_first_that_fails_stops_all_larger_ones() -> None:
    assert shown([0.01, 0.03, 0.04]) == [True, False, False]
    assert shown([0.02, 0.02, 0.02]) == [False] * 3


def test_order_does_not_matter_and_one_statement_needs_no_correction() -> None:
    assert shown([0.03, 0.04, 0.01]) == [False, False, True]
    assert shown([0.05]) == [True]
    assert holm([], 0.05) == []
