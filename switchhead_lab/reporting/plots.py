"""The style of figures, and the figure of quality against a cost."""

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from switchhead_lab.reporting.labels import Box, line_box, place_labels
from switchhead_lab.reporting.pareto import pareto_front
from switchhead_lab.reporting.tradeoff import PARETO_SET, Kind, Point, loss_ceiling

DPI = 150
_SIZE_INCHES = (5.6, 4.0)
_SCALES = ((1e12, "T "), (1e9, "G "), (1e6, "M "), (1e3, "k "))
_LABEL_SIZE = 8.5
_PIXELS_PER_POINT = DPI / 72
# Distance in points (1/72 inch) from which a label gets a line to its point.
_LEADER_FROM = 14
# Distance in points between a label and the centre of its point.
_LABEL_GAP = 7
_FRONT_COLOUR = "#8a8a8a"
_STYLE: dict[Any, Any] = {
    # Ships with matplotlib, so that figures have the same bytes on every machine.
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.hashsalt": "switchhead_lab",
}


Format = Literal["png", "svg", "pdf"]
# Without time of writing and versions, on which the bytes would depend.
_METADATA: dict[Format, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True)
class _Look:
    """How points of one kind are drawn: Okabe-Ito colours, and a distinct shape."""

    name: str
    marker: str
    colour: str
    size: float


_BASELINE = _Look("dense baseline", "s", "#000000", 7.0)
_CANDIDATE = _Look("candidate of the search", "o", "#b07aa1", 4.0)
_PARETO_CANDIDATE = _Look("candidate in the Pareto set", "o", "#5b2a68", 6.0)
# Declared models, by family; other families use the remaining looks in turn.
_KNOWN_FAMILIES = {
    "dense": _Look("other dense", "D", "#0072B2", 6.0),
    "SwitchHead": _Look("SwitchHead", "o", "#D55E00", 7.0),
}
_MORE_LOOKS = (("X", "#CC79A7"), ("P", "#56B4E9"), ("v", "#E69F00"), ("h", "#F0E442"))


_Looks = dict[tuple[Kind, str], _Look]


def _looks(points: Sequence[Point]) -> _Looks:
    """Return the look of each kind and family of points, in legend order."""
    looks: _Looks = {}
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
            looks[key] = _Look(f"{point.family}, best of the search", "*", "#009E73", 12.0)
        elif point.family in _KNOWN_FAMILIES:
            looks[key] = _KNOWN_FAMILIES[point.family]
        else:
            looks[key] = _Look(point.family, *next(more), 7.0)
    return looks


@dataclass(frozen=True)
class Figures:
    """One figure in both formats."""

    png: bytes
    svg: bytes


def draw_tradeoff(points: Sequence[Point], title: str, cost_label: str, loss_label: str) -> Figures:
    """Draw the models' quality metric against a cost, with the Pareto front.

    Args:
        points: Points to draw; equal points give equal bytes.
        title: Heading of the figure.
        cost_label: Name of the horizontal axis; `{unit}` in it becomes "k ", "M " or the like.
        loss_label: Name of the vertical axis; lower is better.
    """
    with figure_style():
        figure = Figure(figsize=_SIZE_INCHES, dpi=DPI, layout="constrained")
        axes = figure.subplots()
        scale, unit = _scale(points)
        ceiling, looks = loss_ceiling(points), _looks(points)
        axes.set_title(title, loc="left")
        axes.set_xlabel(cost_label.format(unit=unit))
        axes.set_ylabel(f"{loss_label} (lower is better)")
        _set_limits(axes, points, scale, ceiling)
        corners = _front_corners(axes, points, scale)
        _draw_front(axes, corners)
        _draw_points(axes, points, looks, scale, ceiling)
        _add_legend(figure, points, looks, ceiling)
        figure.draw_without_rendering()  # labels can be measured only after the layout
        figure.set_layout_engine("none")
        _add_labels(axes, points, looks, scale, corners)
        return save(figure)


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the style of all figures, whatever the user's own."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def save(figure: Figure) -> Figures:
    """Return the files of a figure; equal figures give equal bytes."""
    return Figures(saved(figure, "png"), saved(figure, "svg"))


def saved(figure: Figure, kind: Format) -> bytes:
    """Return the bytes of a figure in one format; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=_METADATA[kind])
    return buffer.getvalue()


def _scale(points: Sequence[Point]) -> tuple[float, str]:
    largest = max((point.cost for point in points), default=1.0)
    return next(((scale, unit) for scale, unit in _SCALES if largest >= scale), (1.0, ""))


def _set_limits(axes: Axes, points: Sequence[Point], scale: float, ceiling: float | None) -> None:
    """Set limits with room for labels; costs and losses are never negative."""
    if not any(math.isfinite(point.loss) for point in points):
        reason = "no finite loss" if points else "no finished run"
        axes.text(0.5, 0.5, reason, ha="center", transform=axes.transAxes)
        return
    costs = [point.cost / scale for point in points]
    inside = [point for point in points if ceiling is None or point.loss <= ceiling]
    low = min(point.loss - (point.std or 0.0) for point in inside)
    high = max(point.loss + (point.std or 0.0) for point in inside)
    width = max(max(costs) - min(costs), 0.2 * max(costs))
    height = max(high - low, 0.02 * high)
    axes.set_xlim(max(0.0, min(costs) - 0.16 * width), max(costs) + 0.16 * width)
    room_above = 0.3 if len(inside) < len(points) else 0.16
    axes.set_ylim(max(0.0, low - 0.16 * height), high + room_above * height)
    for axis in (axes.xaxis, axes.yaxis):
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        axis.set_major_formatter(formatter)
        axis.set_major_locator(MaxNLocator(6))


def _front_corners(axes: Axes, points: Sequence[Point], scale: float) -> list[tuple[float, float]]:
    """Return the corners of the front's steps, to the right edge; empty for a single point.

    Steps, because between two points of the front nothing better is known. Candidates, trained with
    one seed, are not compared with means over several.
    """
    finite = [p for p in points if p.kind != "candidate" and math.isfinite(p.loss)]
    if len(finite) < 2:
        return []
    front = pareto_front((point.cost / scale, point.loss) for point in finite)
    if not front:
        return []
    corners = front[:1]
    for cost, loss in front[1:]:
        corners += [(cost, corners[-1][1]), (cost, loss)]
    return [*corners, (axes.get_xlim()[1], corners[-1][1])]


def _draw_front(axes: Axes, corners: Sequence[tuple[float, float]]) -> None:
    if corners:
        costs, losses = zip(*corners, strict=True)
        axes.plot(costs, losses, color=_FRONT_COLOUR, linewidth=1.0, linestyle="--", zorder=1)


def _draw_points(
    axes: Axes, points: Sequence[Point], looks: _Looks, scale: float, ceiling: float | None
) -> None:
    for point in points:
        look = looks[point.kind, point.family]
        x, y = _position(axes, point, scale)
        is_outlier = ceiling is not None and point.loss > ceiling
        if point.std is not None and not is_outlier:
            axes.errorbar(
                x, y, yerr=point.std, color=look.colour, linewidth=1.0, capsize=2.5, zorder=2
            )
        axes.plot(
            x,
            y,
            marker="^" if is_outlier else look.marker,
            color=look.colour,
            markersize=look.size if not is_outlier else 7.0,
            markeredgecolor="white",
            markeredgewidth=0.6,
            linestyle="none",
            zorder=2.5 if point.kind == "candidate" else 3,
        )


def _position(axes: Axes, point: Point, scale: float) -> tuple[float, float]:
    """Return the position of a point; outliers are drawn just below the upper edge."""
    bottom, top = axes.get_ylim()
    return point.cost / scale, min(point.loss, top - 0.05 * (top - bottom))


def _add_legend(
    figure: Figure, points: Sequence[Point], looks: _Looks, ceiling: float | None
) -> None:
    entries = [(look.name, look.marker, look.colour, look.size * 0.85) for look in looks.values()]
    if ceiling is not None:
        entries.append(("off the scale, value beside it", "^", _FRONT_COLOUR, 6.0))
    handles = [
        Line2D(
            [],
            [],
            marker=marker,
            color=colour,
            markersize=size,
            markeredgecolor="white",
            markeredgewidth=0.4,
            linestyle="none",
            label=name,
        )
        for name, marker, colour, size in entries
    ]
    if len(points) > 1:
        front = Line2D([], [], color=_FRONT_COLOUR, linewidth=1.0, linestyle="--")
        front.set_label("Pareto front")
        handles.append(front)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, columnspacing=1.4, handletextpad=0.4
    )


def _add_labels(
    axes: Axes,
    points: Sequence[Point],
    looks: _Looks,
    scale: float,
    corners: Sequence[tuple[float, float]],
) -> None:
    """Label the models without covering points or other labels."""
    top = axes.get_ylim()[1]
    texts, anchors, obstacles = [], [], []
    for point in points:
        x, y = axes.transData.transform(_position(axes, point, scale))
        size = looks[point.kind, point.family].size
        obstacles.append(_drawn_box(axes, point, size, x, y))
        text = point.label
        if point.loss > top:
            text = ", ".join(filter(None, [point.label, f"{point.loss:,.0f}"]))
        if text:
            texts.append(text)
            anchors.append((x, y))
    turns = [tuple(axes.transData.transform(corner)) for corner in corners]
    obstacles += [
        line_box(start, end, _PIXELS_PER_POINT) for start, end in itertools.pairwise(turns)
    ]
    sizes = [_text_size(axes, text) for text in texts]
    frame = Box(*axes.bbox.extents)
    boxes = place_labels(anchors, sizes, obstacles, frame, gap=_LABEL_GAP * _PIXELS_PER_POINT)
    for text, anchor, box in zip(texts, anchors, boxes, strict=True):
        _write_label(axes, text, anchor, box)


def _drawn_box(axes: Axes, point: Point, size: float, x: float, y: float) -> Box:
    """Return the rectangle of a point at (x, y), in pixels, with its error bar."""
    reach = size * _PIXELS_PER_POINT / 2
    per_unit = axes.bbox.height / (axes.get_ylim()[1] - axes.get_ylim()[0])
    up = max(reach, (point.std or 0.0) * per_unit)
    return Box(x - reach, y - up, x + reach, y + up)


def _text_size(axes: Axes, text: str) -> tuple[float, float]:
    probe = axes.text(0, 0, text, fontsize=_LABEL_SIZE)
    extent = probe.get_window_extent()
    probe.remove()
    return extent.width, extent.height


def _write_label(axes: Axes, text: str, anchor: tuple[float, float], box: Box) -> None:
    """Write a label in its box, with a line to its point if they are apart."""
    is_far = box.distance_to(*anchor) > _LEADER_FROM * _PIXELS_PER_POINT
    leader = {"arrowstyle": "-", "color": _FRONT_COLOUR, "linewidth": 0.6}
    to_data = axes.transData.inverted()
    x, y = to_data.transform(anchor)
    text_x, text_y = to_data.transform(box.centre)
    axes.annotate(
        text,
        xy=(x, y),
        xytext=(text_x, text_y),
        fontsize=_LABEL_SIZE,
        ha="center",
        va="center",
        zorder=4,
        arrowprops=leader if is_far else None,
    )
