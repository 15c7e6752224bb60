"""The points of a trade-off figure: cost and quality metric of each model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from switchhead_lab.config.search import key_of
from switchhead_lab.reporting.figure_axes import FigureAxis
from switchhead_lab.reporting.quality import MeasuredQuantity
from switchhead_lab.reporting.report_data import ModelRow, ReportData

Kind = Literal["baseline", "declared", "best", "candidate"]
PARETO_SET = "Pareto set"

# Outliers, further above the median than this multiple of the median's distance to the best, are
# drawn at the edge, so that one failed model does not flatten the others into a line.
_OUTLIER_SPREADS = 5.0
_SMALLEST_SPREAD_FRACTION = 0.03


@dataclass(frozen=True)
class Point:
    """One point of a trade-off figure.

    Attributes:
        label: Label of the point; empty for candidates.
        kind: Its role in the comparison.
        family: Name in the legend; `PARETO_SET` for candidates in the Pareto set.
        cost: Value on the horizontal axis.
        loss: Value on the vertical axis, the mean over seeds; lower is better.
        std: Its sample standard deviation; None for one seed.
        n: Number of seeds in the mean.
        model: Name of the model; empty for candidates.
    """

    label: str
    kind: Kind
    family: str
    cost: float
    loss: float
    std: float | None = None
    n: int = 1
    model: str = ""


def tradeoff_points(data: ReportData, axis: FigureAxis) -> list[Point]:
    """Return the finished models and candidates as points, models first.

    The best candidate of a study is omitted, since it is one of the best model's own runs. So are
    models without a value on the axis; see `undrawn_lines`.
    """
    points = _with_n(
        [
            point
            for row in data.models
            if (point := _model_point(row, axis, data.quality.drawn)) is not None
        ]
    )
    best = {(row.name, key_of(row.point)) for row in data.models if row.point and row.finished}
    for row in data.candidates:
        is_best = (row.study, key_of(row.point)) in best
        cost = axis.read(row)
        if row.quality is None or cost is None or is_best:
            continue
        result = row.run.result if row.run else None
        assert result is not None, "a candidate with a metric has a result"
        loss = data.quality.drawn.read(result)
        family = PARETO_SET if row.is_pareto else ""
        points.append(Point("", "candidate", family, cost, loss))
    return points


def _with_n(points: Sequence[Point]) -> list[Point]:
    """Return models with their numbers of seeds in the labels, if these differ."""
    if len({point.n for point in points}) < 2:
        return list(points)
    return [replace(point, label=f"{point.label} (n={point.n})") for point in points]


def undrawn_lines(data: ReportData, axes: Sequence[FigureAxis]) -> list[str]:
    """Return notes on models omitted from figures because they have no value on the axis."""
    return [
        f"Note: {row.name} is not in the {axis.undrawn}."
        for axis in axes
        for row in data.models
        if row.costs is not None and axis.read(row) is None
    ]


def loss_ceiling(points: Sequence[Point]) -> float | None:
    """Return the loss above which points are outliers; None if there are none.

    Infinite losses are always outliers.
    """
    values = [point.loss for point in points if math.isfinite(point.loss)]
    if not values:
        return None
    middle, lowest, highest = median(values), min(values), max(values)
    if len(values) < 3:
        return highest if len(values) < len(points) else None
    spread = max(middle - lowest, _SMALLEST_SPREAD_FRACTION * middle)
    ceiling = middle + _OUTLIER_SPREADS * spread
    return ceiling if max(point.loss for point in points) > ceiling else None


def _model_point(row: ModelRow, axis: FigureAxis, drawn: MeasuredQuantity) -> Point | None:
    statistics = row.statistics(drawn)
    cost = axis.read(row)
    if statistics.mean is None or cost is None:
        return None
    assert row.role != "candidate", "candidates are not models of the comparison"
    label = f"{row.name}{statistics.gap}"
    spread = (statistics.mean, statistics.std, statistics.n)
    return Point(label, row.role, row.family, cost, *spread, model=row.name)
