"""Power laws and compute multipliers on losses whose law is known."""

import numpy as np
import pytest

from switchhead_lab.claims.scaling import Rung, compute_multipliers, fit_power_law, law_band

MACS = (1e12, 4e12, 1.6e13, 6.4e13)


def ladder(scale: float, exponent: float, macs=MACS, spread: float = 0.0, n_seeds: int = 3):
    generator = np.random.default_rng(int(scale * 10))
    return [
        Rung(
            size=f"s{number}",
            macs=one,
            losses=tuple(scale * one**-exponent + generator.normal(0.0, spread, n_seeds)),
        )
        for number, one in enumerate(macs)
    ]


def test_the_law_is_found() -> None:
    law = fit_power_law(ladder(20.0, 0.06))
    assert (law.scale, law.exponent) == (pytest.approx(20.0), pytest.approx(0.06))
    assert law.loss(4e12) == pytest.approx(20.0 * 4e12**-0.06)
    assert law.exponent_interval == (pytest.approx(0.06), pytest.approx(0.06))


def test_its_interval_widens_with_the_spread_and_needs_seeds() -> None:
    law = fit_power_law(ladder(20.0, 0.06, spread=0.02))
    assert law.exponent_interval is not None
    low, high = law.exponent_interval
    assert low < law.exponent < high
    assert fit_power_law(ladder(20.0, 0.06, n_seeds=1)).exponent_interval is None
    with pytest.raises(ValueError, match="at least two sizes, not 1"):
        fit_power_law(ladder(20.0, 0.06)[:1])


def test_the_band_encloses_the_law_and_needs_seeds() -> None:
    rungs = ladder(20.0, 0.06, spread=0.02)
    law, band = fit_power_law(rungs), law_band(rungs, MACS)
    assert band is not None
    for macs, low, high in zip(MACS, *band, strict=True):
        assert low < law.loss(macs) < high
    assert law_band(ladder(20.0, 0.06, n_seeds=1), MACS) is None


def test_a_model_with_the_baselines_losses_at_half_the_compute_has_a_multiplier_of_two() -> None:
    baseline = ladder(20.0, 0.06)
    halved = [Rung(rung.size, rung.macs / 2, rung.losses) for rung in baseline]
    for found in compute_multipliers(halved, baseline):
        assert found.multiplier == pytest.approx(2.0)


def test_between_sizes_it_is_interpolated_in_logarithms() -> None:
    """On an exact power law, any loss between two sizes gives the law's own compute."""
    baseline = ladder(20.0, 0.06)
    between = ladder(20.0, 0.06, macs=(2e12, 3e13))
    cheaper = [Rung(rung.size, rung.macs / 1.5, rung.losses) for rung in between]
    for found in compute_multipliers(cheaper, baseline):
        assert found.multiplier == pytest.approx(1.5)


def test_nothing_is_extrapolated() -> None:
    baseline = ladder(20.0, 0.06)
    worse_and_better = ladder(20.0, 0.06, macs=(1e11, 1e15))
    for found in compute_multipliers(worse_and_better, baseline):
        assert (found.multiplier, found.interval) == (None, None)


def test_intervals_cover_the_multiplier() -> None:
    baseline = ladder(20.0, 0.06, spread=0.005)
    model = ladder(20.0, 0.06, macs=(2e12, 3e13), spread=0.005)
    for found in compute_multipliers(model, baseline):
        assert found.interval is not None
        assert found.multiplier is not None
        assert found.interval[0] < found.multiplier < found.interval[1]
    single = ladder(20.0, 0.06, macs=(2e12,), n_seeds=1)
    assert compute_multipliers(single, baseline)[0].interval is None
