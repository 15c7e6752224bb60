"""Loss against training compute over several sizes: power laws and the compute multiplier.

Letters: R rungs (sizes), B bootstrap samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_N_BOOTSTRAP = 2_000
_LEVEL = 0.95

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rung:
    """One size of a model.

    Attributes:
        size: Name of the size.
        macs: Multiply-accumulates of the whole training, forward and backward.
        losses: Final loss of each seed in nats; at least one.
    """

    size: str
    macs: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class PowerLaw:
    """`loss = scale * macs ** -exponent`, fitted by least squares to logarithms.

    Attributes:
        scale: Loss at one MAC.
        exponent: How fast the loss falls.
        exponent_interval: 95 % interval of the exponent over resampled seeds; None with one seed.
    """

    scale: float
    exponent: float
    exponent_interval: tuple[float, float] | None

    def loss(self, macs: float) -> float:
        """Return the loss that the law gives for a training's MACs."""
        return self.scale * macs**-self.exponent


@dataclass(frozen=True)
class ComputeMultiplier:
    """How much less compute one size of a model needs for the baseline's loss.

    Attributes:
        size: Name of the size.
        multiplier: Compute of the baseline for the same loss over the model's own; above 1, the
            model needs less. None if the baseline's sizes do not enclose the loss.
        interval: 95 % interval over resampled seeds; None with one seed, or if part of the
            resampled losses are not enclosed.
    """

    size: str
    multiplier: float | None
    interval: tuple[float, float] | None


def fit_power_law(rungs: Sequence[Rung]) -> PowerLaw:
    """Fit a power law to the mean losses of at least two sizes.

    Raises:
        ValueError: If there are fewer than two sizes.
    """
    if len(rungs) < 2:
        raise ValueError(f"a power law needs at least two sizes, not {len(rungs)}")
    macs_R = np.log([rung.macs for rung in rungs])
    slope, intercept = map(float, _lines(macs_R, np.log(_means(rungs))))
    interval = None
    if _has_seeds(rungs):
        slopes_B, _ = _lines(macs_R, np.log(_resampled(rungs, seed=0)))
        interval = _interval(-slopes_B)
    return PowerLaw(math.exp(intercept), -slope, interval)


def law_band(rungs: Sequence[Rung], macs: Sequence[float]) -> tuple[Array, Array] | None:
    """Return the 95 % band of the fitted law over resampled seeds: low and high at each of `macs`.

    None if any size has a single seed.
    """
    if not _has_seeds(rungs):
        return None
    macs_R, wanted = np.log([rung.macs for rung in rungs]), np.log(macs)
    slopes_B, intercepts_B = _lines(macs_R, np.log(_resampled(rungs, seed=0)))
    tail = (1.0 - _LEVEL) / 2.0
    laws = np.exp(slopes_B[:, None] * wanted + intercepts_B[:, None])
    low, high = np.quantile(laws, [tail, 1.0 - tail], axis=0)
    return low, high


def compute_multipliers(model: Sequence[Rung], baseline: Sequence[Rung]) -> list[ComputeMultiplier]:
    """Return the compute multiplier of each size of a model.

    The baseline's compute for a loss is interpolated between its sizes, linearly in the logarithms
    of both, and never extrapolated.

    Args:
        model: Sizes of the model.
        baseline: Sizes of the baseline, at least two.
    """
    found = _multipliers(_means(model), model, _means(baseline), baseline)
    samples_BR = np.array(
        [
            _multipliers(ours_R, model, theirs_R, baseline)
            for ours_R, theirs_R in zip(
                _resampled(model, seed=0), _resampled(baseline, seed=1), strict=True
            )
        ]
    )
    has_seeds = _has_seeds(model) and _has_seeds(baseline)
    return [
        ComputeMultiplier(
            size=rung.size,
            multiplier=None if math.isnan(value) else float(value),
            interval=_interval(samples_B) if has_seeds and np.isfinite(samples_B).all() else None,
        )
        for rung, value, samples_B in zip(model, found, samples_BR.T, strict=True)
    ]


def _multipliers(
    ours_R: Array, model: Sequence[Rung], theirs_R: Array, baseline: Sequence[Rung]
) -> Array:
    """Return the multiplier of each size; NaN where the baseline does not enclose the loss."""
    order = np.argsort(theirs_R)
    losses, macs = np.log(theirs_R[order]), np.log([baseline[n].macs for n in order])
    needed = np.interp(np.log(ours_R), losses, macs, left=math.nan, right=math.nan)
    return np.exp(needed - np.log([rung.macs for rung in model]))


def _lines(x_R: Array, y_BR: Array) -> tuple[Array, Array]:
    """Return slope and intercept of each line of least squares, whatever B is."""
    slopes_B, intercepts_B = np.polyfit(x_R, y_BR.T, 1)
    return slopes_B, intercepts_B


def _means(rungs: Sequence[Rung]) -> Array:
    return np.array([math.fsum(rung.losses) / len(rung.losses) for rung in rungs])


def _resampled(rungs: Sequence[Rung], seed: int) -> Array:
    """Return mean losses over seeds drawn with replacement, shape [B, R]."""
    generator = np.random.default_rng(seed)
    return np.stack(
        [
            generator.choice(rung.losses, (_N_BOOTSTRAP, len(rung.losses))).mean(axis=1)
            for rung in rungs
        ],
        axis=1,
    )


def _has_seeds(rungs: Sequence[Rung]) -> bool:
    return all(len(rung.losses) > 1 for rung in rungs)


def _interval(values: Sequence[float] | Array) -> tuple[float, float]:
    tail = (1.0 - _LEVEL) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)
