"""Verdicts: which parts decide a claim, and how often they are wrong."""

import numpy as np
import pytest

from switchhead_lab.claims.paired import Sample
from switchhead_lab.claims.planning import seeds_needed
from switchhead_lab.claims.verdict import (
    Part,
    counted_part,
    decide,
    quality_part,
    time_part,
)
from switchhead_lab.config.claims import QualityClaim

ALPHA, MARGIN, MOST = 0.05, 0.01, 12
LOOKS = (2, 4, 6, 8, 10, 12)
EQUIVALENT = QualityClaim(kind="equivalent", margin=MARGIN)
BETTER = QualityClaim(kind="better")
NOT_WORSE = QualityClaim(kind="not_worse", margin=MARGIN)


def verdict_of(*parts: Part) -> str:
    return decide([parts], ALPHA)[0].verdict


def part_of(quality: QualityClaim, differences: list[float]) -> Part:
    return quality_part(quality, differences, [len(differences)], len(differences))


@pytest.mark.parametrize(
    ("quality", "differences", "expected"),
    [
        (EQUIVALENT, [0.001, -0.001, 0.002, 0.0], "supported"),
        (EQUIVALENT, [0.05, 0.051, 0.049, 0.05], "refuted"),
        (EQUIVALENT, [-0.05, -0.051, -0.049, -0.05], "refuted"),
        (EQUIVALENT, [0.05, -0.05, 0.02, -0.01], "undecided"),
        (NOT_WORSE, [-0.05, -0.051, -0.049, -0.05], "supported"),
        (NOT_WORSE, [0.05, 0.051, 0.049, 0.05], "refuted"),
        (BETTER, [-0.005, -0.006, -0.004, -0.005], "supported"),
        (BETTER, [0.005, 0.006, 0.004, 0.005], "refuted"),
        (QualityClaim(kind="better", margin=MARGIN), [-0.005, -0.006, -0.004, -0.005], "refuted"),
    ],
)
def test_quality(quality: QualityClaim, differences: list[float], expected: str) -> None:
    assert verdict_of(part_of(quality, differences)) == expected


@pytest.mark.parametrize("differences", [[], [0.0], [0.0, float("inf")], [0.0, float("nan")]])
def test_without_a_spread_there_is_no_verdict(differences: list[float]) -> None:
    part = part_of(EQUIVALENT, differences)
    assert verdict_of(part) == "undecided"
    assert decide([[part]], ALPHA)[0].parts[0].interval is None


def test_counted_costs_are_compared() -> None:
    assert verdict_of(counted_part(0.7, 0.7)) == "supported"
    assert verdict_of(counted_part(0.71, 0.7)) == "refuted"
    assert verdict_of(counted_part(None, 0.7)) == "undecided"


def test_times_are_tested_as_ratios() -> None:
    ratios = [0.80, 0.82, 0.78, 0.81, 0.79]
    (verdict,) = decide([[time_part(ratios, 0.9)]], ALPHA)
    assert verdict.verdict == "supported"
    (part,) = verdict.parts
    assert part.part.estimate == pytest.approx(0.80, abs=1e-3)
    assert part.interval is not None
    assert part.interval[0] < 0.80 < part.interval[1] < 0.9
    assert verdict_of(time_part(ratios, 0.7)) == "refuted"
    assert verdict_of(time_part(ratios, 0.8)) == "undecided"
    assert verdict_of(time_part([0.5], 0.8)) == "undecided"


def test_all_parts_must_hold_and_one_refutes() -> None:
    good, bad, open_part = counted_part(0.5, 0.7), counted_part(0.9, 0.7), Part.unknown()
    assert verdict_of(good, good) == "supported"
    assert verdict_of(good, bad) == "refuted"
    assert verdict_of(good, open_part) == "undecided"
    assert verdict_of(bad, open_part) == "refuted"


def test_more_claims_need_more_evidence() -> None:
    # p = 0.03: enough alone, not as one of two.
    weak = quality_part(BETTER, _differences_with_p(0.03), [5], 5)
    assert verdict_of(weak) == "supported"
    nothing = Part.unknown()
    assert [v.verdict for v in decide([[weak], [nothing]], ALPHA)] == ["undecided"] * 2
    sure = counted_part(0.1, 0.7)
    assert [v.verdict for v in decide([[weak], [sure]], ALPHA)] == ["supported"] * 2


def _differences_with_p(p: float) -> list[float]:
    """Return five differences whose mean is below zero with a p-value."""
    shape = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    low, high = 0.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        value = Sample.of(list(shape - middle)).p_below(0.0)
        low, high = (middle, high) if value > p else (low, middle)
    return list(shape - high)


def test_the_interval_agrees_with_the_verdict() -> None:
    """An equivalence is supported exactly when its interval is within the margin."""
    generator = np.random.default_rng(3)
    seen = set()
    for _ in range(200):
        differences = list(generator.normal(0.0, 0.006, 6))
        (verdict,) = decide([[quality_part(EQUIVALENT, differences, [6], 6)]], ALPHA)
        interval = verdict.parts[0].interval
        assert interval is not None
        is_within = interval[0] > -MARGIN and interval[1] < MARGIN
        assert (verdict.verdict == "supported") == is_within
        seen.add(verdict.verdict)
    assert {"supported", "undecided"} <= seen


def sweep_until_decided(quality: QualityClaim, differences: np.ndarray) -> tuple[str, int]:
    """Add pairs of seeds until the claim is decided; return the verdict and the seeds used."""
    for number, size in enumerate(LOOKS):
        part = quality_part(quality, list(differences[:size]), LOOKS[: number + 1], MOST)
        verdict = decide([[part]], ALPHA)[0].verdict
        if verdict != "undecided":
            break
    return verdict, size


@pytest.mark.parametrize(
    "quality",
    [EQUIVALENT, *(pytest.param(one, marks=pytest.mark.thorough) for one in (NOT_WORSE, BETTER))],
)
def test_a_difference_at_the_margin_is_called_supported_in_5_percent_at_most(quality) -> None:
    at_margin = 0.0 if quality is BETTER else MARGIN
    simulated = np.random.default_rng(1).normal(at_margin, 0.004, (2000, MOST))
    verdicts = [sweep_until_decided(quality, one)[0] for one in simulated]
    # Two standard errors of the simulation on either side of the error that is spent.
    assert 0.03 < verdicts.count("supported") / len(verdicts) <= ALPHA + 0.01


def test_power_is_as_planned_and_few_seeds_decide_what_is_clear() -> None:
    spread = 0.009
    n = seeds_needed(Sample(4, 0.0, spread / 2), MARGIN, ALPHA / 2, MOST)
    assert n is not None
    assert n <= 11
    simulated = np.random.default_rng(2).normal(0.0, spread, (2000, MOST))
    outcomes = [sweep_until_decided(EQUIVALENT, one) for one in simulated]
    assert [verdict for verdict, _ in outcomes].count("supported") / len(outcomes) >= 0.8
    clear = np.random.default_rng(3).normal(0.0, spread / 6, (200, MOST))
    sizes = [size for _, size in (sweep_until_decided(EQUIVALENT, one) for one in clear)]
    assert np.median(sizes) <= 6
