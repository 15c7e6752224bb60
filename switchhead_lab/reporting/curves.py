"""Loss curves of a sweep's models: validation loss over tokens and over training MACs."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from switchhead_lab.objectives.metrics import LOSS
from switchhead_lab.reporting.report_data import MemberRun, ModelRow, ReportData
from switchhead_lab.reporting.training_compute import training_macs

_METRIC = f"validation/{LOSS.name}"
# The first validations of a training from scratch would set the scale.
_SHOWN_ABOVE_LOWEST = 1.35


@dataclass(frozen=True)
class CurvePoint:
    """Validation loss of one model after some steps.

    Attributes:
        step: Optimiser steps.
        tokens: Tokens trained on.
        macs: MACs so far, forward and backward; None if the model's costs are unknown.
        mean: Mean loss over the seeds, in nats.
        std: Sample standard deviation; 0 with one seed.
    """

    step: int
    tokens: int
    macs: float | None
    mean: float
    std: float


@dataclass(frozen=True)
class Curve:
    """Loss curve of one model.

    Attributes:
        name: Name of the model.
        role: "baseline", "declared" or "best".
        n_seeds: Seeds in the mean.
        points: By step.
    """

    name: str
    role: str
    n_seeds: int
    points: tuple[CurvePoint, ...]


def loss_curves(data: ReportData) -> list[Curve]:
    """Return the curve of each model with a finished run and recorded validations."""
    curves = (_curve(row) for row in data.models)
    return [curve for curve in curves if curve is not None and curve.points]


def shown_losses(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Return the limits of the losses to draw; None without a curve.

    They leave out the first, steep part of the curves, in which models hardly differ.
    """
    means = [point.mean for curve in curves for point in curve.points]
    if not means:
        return None
    low, high = min(means), max(means)
    top = min(high, low * _SHOWN_ABOVE_LOWEST) if low > 0.0 else high
    room = 0.06 * max(top - low, 0.02 * abs(low))
    return low - room, top + room


def _curve(row: ModelRow) -> Curve | None:
    runs = row.counted
    if not runs:
        return None
    losses = [dict(_validations(run)) for run in runs]
    # Steps at which every seed was validated: a mean over changing seeds would jump.
    steps = sorted(set.intersection(*(set(one) for one in losses)))
    return Curve(row.name, row.role, len(runs), tuple(_points(row, losses, steps)))


def _points(
    row: ModelRow, losses: Sequence[dict[int, tuple[int, float]]], steps: Sequence[int]
) -> Iterator[CurvePoint]:
    total, n_tokens = training_macs(row), _tokens_of(row)
    for step in steps:
        values = [one[step][1] for one in losses]
        tokens = losses[0][step][0]
        yield CurvePoint(
            step=step,
            tokens=tokens,
            macs=None if total is None else total * tokens / n_tokens,
            mean=statistics.fmean(values),
            std=statistics.stdev(values) if len(values) > 1 else 0.0,
        )


def _tokens_of(row: ModelRow) -> int:
    return next(run.result.n_tokens for run in row.finished if run.result is not None)


def _validations(run: MemberRun) -> Iterator[tuple[int, tuple[int, float]]]:
    """Yield step, tokens and loss of each recorded validation."""
    for point in run.points:
        if _METRIC in point.metrics:
            yield point.step, (point.tokens, point.metrics[_METRIC])
