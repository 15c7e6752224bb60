from switchhead_lab.claims.holm import holm


def with_p(p: float):
    return lambda share: p <= share


def test_shares_of_what_is_shown_go_to_the_others() -> None:
    # 0.05 / 3, then 0.05 / 2, then 0.05.
    assert holm([with_p(0.04), with_p(0.01), with_p(0.02)], 0.05) == [True, True, True]


def test_the_first_that_fails_stops_all_larger_ones() -> None:
    assert holm([with_p(0.01), with_p(0.03), with_p(0.04)], 0.05) == [True, False, False]
    assert holm([with_p(0.02), with_p(0.02), with_p(0.02)], 0.05) == [False] * 3


def test_order_does_not_matter_and_one_statement_needs_no_correction() -> None:
    assert holm([with_p(0.03), with_p(0.04), with_p(0.01)], 0.05) == [False, False, True]
    assert holm([with_p(0.05)], 0.05) == [True]
    assert holm([], 0.05) == []
