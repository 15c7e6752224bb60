"""What trade-off figures show, however they are drawn: looks of points, limits, Pareto front."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from switchhead_lab.reporting.pareto import pareto_front
from switchhead_lab.reporting.tradeoff import PARETO_SET, Kind, Point, loss_ceiling

FORMATS = ("png", "svg", "pdf")
"""Formats that figures are written in."""
FRONT_COLOUR = "#8a8a8a"
"""Colour of the Pareto front, of lines to labels and of points off the scale."""
FRONT = "Pareto front"
BLACK = "#000000"
"""Colour of the baseline."""
# Okabe-Ito colours with distinct markers and lines; the baseline is first.
SERIES = (
    *((BLACK, "s", "-"), ("#D55E00", "o", "-"), ("#0072B2", "D", "--")),
    *(("#009E73", "^", "-."), ("#CC79A7", "X", ":"), ("#56B4E9", "P", "--")),
    ("#E69F00", "v", "-."),
)
"""Colour, marker and line of each model of a figure, in turn."""
_SCALES = ((1e12, "T "), (1e9, "G "), (1e6, "M "), (1e3, "k "))


@dataclass(frozen=True)
class Look:
    """How points of one kind are drawn: Okabe-Ito colours, and a distinct shape.

    Attributes:
        name: Name in the legend.
        marker: Shape, by matplotlib's letters.
        colour: Colour.
        size: Size in points (1/72 inch).
    """

    name: str
    marker: str
    colour: str
    size: float


_BASELINE = Look("dense baseline", "s", BLACK, 7.0)
_CANDIDATE = Look("candidate of the search", "o", "#b07aa1", 4.0)
_PARETO_CANDIDATE = Look("candidate in the Pareto set", "o", "#5b2a68", 6.0)
_OUTLIER = Look("off the scale, value beside it", "^", FRONT_COLOUR, 7.0)
# Declared models, by family; other families use the remaining looks in turn.
_KNOWN_FAMILIES = {
    "dense": Look("other dense", "D", "#0072B2", 6.0),
    "SwitchHead": Look("SwitchHead", "o", "#D55E00", 7.0),
}
_MORE_LOOKS = (("X", "#CC79A7"), ("P", "#56B4E9"), ("v", "#E69F00"), ("h", "#F0E442"))


Looks = dict[tuple[Kind, str], Look]


def looks_of(points: Sequence[Point]) -> Looks:
    """Return the look of each kind and family of points, in legend order."""
    looks: Looks = {}
    more = itertools.cycle(_MORE_LOOKS)
    order: tuple[Kind, ...] = ("baseline", "declared", "best", "candidate")
    for point in sorted(points, key=lambda point: order.index(point.kind)):
        key = (point.kind, point.family)
        if key in looks:
            continue
        if point.kind == "baseline":
            looks[key] = _BASELINE
        elif point.kind == "candidate":
            looks[key] = _PARETO_CANDIDATE if point.family == PARETO_SET else _CANDIDATE
        elif point.kind == "best":
            looks[key] = Look(f"{point.family}, best of the search", "*", "#009E73", 12.0)
        elif point.family in _KNOWN_FAMILIES:
            looks[key] = _KNOWN_FAMILIES[point.family]
        else:
            looks[key] = Look(point.family, *next(more), 7.0)
    return looks


@dataclass(frozen=True)
class Frame:
    """Scale and limits of a figure.

    Attributes:
        scale: Cost of one unit on the horizontal axis.
        unit: SI prefix of that unit, such as "M ".
        x: Limits of the horizontal axis, in units; None without a point to draw.
        y: Limits of the vertical axis; None without a point to draw.
        ceiling: Loss above which points are drawn at the upper edge; None if there are none.
    """

    scale: float
    unit: str
    x: tuple[float, float] | None
    y: tuple[float, float] | None
    ceiling: float | None

    def is_off(self, point: Point) -> bool:
        """Whether a point is drawn at the upper edge."""
        return self.ceiling is not None and point.loss > self.ceiling

    def look(self, point: Point, looks: Looks) -> Look:
        """Return the look of a point; outliers keep their colour."""
        look = looks[point.kind, point.family]
        if not self.is_off(point):
            return look
        return Look(look.name, _OUTLIER.marker, look.colour, _OUTLIER.size)

    def text_of(self, point: Point) -> str:
        """Return the label of a point, with its value if it is above the upper edge."""
        if self.y is None or point.loss > self.y[1]:
            return ", ".join(filter(None, [point.label, f"{point.loss:,.0f}"]))
        return point.label


def frame_of(points: Sequence[Point]) -> Frame:
    """Return scale and limits with room for labels; costs and losses are never negative."""
    largest = max((point.cost for point in points), default=1.0)
    scale, unit = next(((s, unit) for s, unit in _SCALES if largest >= s), (1.0, ""))
    ceiling = loss_ceiling(points)
    if not any(math.isfinite(point.loss) for point in points):
        return Frame(scale, unit, None, None, ceiling)
    costs = [point.cost / scale for point in points]
    inside = [point for point in points if ceiling is None or point.loss <= ceiling]
    low = min(point.loss - (point.std or 0.0) for point in inside)
    high = max(point.loss + (point.std or 0.0) for point in inside)
    width = max(max(costs) - min(costs), 0.2 * max(costs))
    height = max(high - low, 0.02 * high)
    room_above = 0.3 if len(inside) < len(points) else 0.16
    return Frame(
        scale,
        unit,
        (max(0.0, min(costs) - 0.16 * width), max(costs) + 0.16 * width),
        (max(0.0, low - 0.16 * height), high + room_above * height),
        ceiling,
    )


def empty_text(points: Sequence[Point]) -> str:
    """Return why a figure has nothing to draw."""
    return "no finite loss" if points else "no finished run"


def front_corners(points: Sequence[Point], frame: Frame) -> list[tuple[float, float]]:
    """Return the corners of the front's steps, to the right edge; empty for a single point.

    Steps, because between two points of the front nothing better is known.
    """
    compared = _compared(points)
    if len(compared) < 2:
        return []
    front = pareto_front((point.cost / frame.scale, point.loss) for point in compared)
    if not front or frame.x is None:
        return []
    corners = front[:1]
    for cost, loss in front[1:]:
        corners += [(cost, corners[-1][1]), (cost, loss)]
    return [*corners, (frame.x[1], corners[-1][1])]


def _compared(points: Sequence[Point]) -> list[Point]:
    """Return the models that the front compares: means, or single seeds if there are no means.

    A single seed is not compared with means over several; neither are candidates.
    """
    finite = [p for p in points if p.kind != "candidate" and math.isfinite(p.loss)]
    means = [point for point in finite if point.n > 1]
    return means or finite


def front_name(points: Sequence[Point]) -> str:
    """Return the name of the front in legends, with what it leaves out."""
    ns = {point.n for point in points if point.kind != "candidate"}
    return f"{FRONT} of means (n > 1)" if 1 in ns and len(ns) > 1 else FRONT


def legend_of(looks: Looks, frame: Frame) -> list[Look]:
    """Return the entries of the legend, except the Pareto front."""
    return [*looks.values(), *([_OUTLIER] if frame.ceiling is not None else [])]


def has_front(points: Sequence[Point]) -> bool:
    """Whether the legend names the Pareto front."""
    return len(_compared(points)) > 1
