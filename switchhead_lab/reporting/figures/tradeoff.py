"""The figure of quality against a cost, with the Pareto front."""

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from switchhead_lab.reporting.figure_layout import (
    FRONT_COLOUR,
    Frame,
    Look,
    Looks,
    empty_text,
    frame_of,
    front_corners,
    front_name,
    has_front,
    legend_of,
    looks_of,
)
from switchhead_lab.reporting.figures.style import DPI, Figures, fix_layout, save, styled_figure
from switchhead_lab.reporting.labels import Box, line_box, place_labels
from switchhead_lab.reporting.tradeoff import Point

_SIZE_INCHES = (5.6, 4.0)
_LABEL_SIZE = 8.5
_PIXELS_PER_POINT = DPI / 72
# Distance in points (1/72 inch) from which a label gets a line to its point.
_LEADER_FROM = 14
# Distance in points between a label and the centre of its point.
_LABEL_GAP = 7


def draw_tradeoff(points: Sequence[Point], title: str, cost_label: str, loss_label: str) -> Figures:
    """Draw the models' quality metric against a cost, with the Pareto front.

    Args:
        points: Points to draw; equal points give equal bytes.
        title: Heading of the figure.
        cost_label: Name of the horizontal axis; `{unit}` in it becomes "k ", "M " or the like.
        loss_label: Name of the vertical axis; lower is better.
    """
    with styled_figure(*_SIZE_INCHES) as figure:
        axes = figure.subplots()
        frame, looks = frame_of(points), looks_of(points)
        axes.set_title(title, loc="left")
        axes.set_xlabel(cost_label.format(unit=frame.unit))
        axes.set_ylabel(f"{loss_label} (lower is better)")
        _set_limits(axes, points, frame)
        corners = front_corners(points, frame)
        _draw_front(axes, corners)
        _draw_points(axes, points, looks, frame)
        _add_legend(figure, points, looks, frame)
        fix_layout(figure)  # labels can be measured only after it
        _add_labels(axes, points, looks, frame, corners)
        return save(figure)


def _set_limits(axes: Axes, points: Sequence[Point], frame: Frame) -> None:
    if frame.x is None or frame.y is None:
        axes.text(0.5, 0.5, empty_text(points), ha="center", transform=axes.transAxes)
        return
    axes.set_xlim(*frame.x)
    axes.set_ylim(*frame.y)
    for axis in (axes.xaxis, axes.yaxis):
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        axis.set_major_formatter(formatter)
        axis.set_major_locator(MaxNLocator(6))


def _draw_front(axes: Axes, corners: Sequence[tuple[float, float]]) -> None:
    if corners:
        costs, losses = zip(*corners, strict=True)
        axes.plot(costs, losses, color=FRONT_COLOUR, linewidth=1.0, linestyle="--", zorder=1)


def _draw_points(axes: Axes, points: Sequence[Point], looks: Looks, frame: Frame) -> None:
    candidates: dict[Look, list[tuple[float, float]]] = {}
    for point in points:
        look = frame.look(point, looks)
        x, y = _position(axes, point, frame.scale)
        if point.kind == "candidate":
            candidates.setdefault(look, []).append((x, y))
            continue
        if point.std is not None and not frame.is_off(point):
            axes.errorbar(
                x, y, yerr=point.std, color=look.colour, linewidth=1.0, capsize=2.5, zorder=2
            )
        _draw_markers(axes, [(x, y)], look, 3)
    for look, places in candidates.items():  # together, since there may be a thousand
        _draw_markers(axes, places, look, 2.5)


def _draw_markers(
    axes: Axes, places: Sequence[tuple[float, float]], look: Look, zorder: float
) -> None:
    axes.plot(
        *zip(*places, strict=True),
        marker=look.marker,
        color=look.colour,
        markersize=look.size,
        markeredgecolor="white",
        markeredgewidth=0.6,
        linestyle="none",
        zorder=zorder,
    )


def _position(axes: Axes, point: Point, scale: float) -> tuple[float, float]:
    """Return the position of a point; outliers are drawn just below the upper edge."""
    bottom, top = axes.get_ylim()
    return point.cost / scale, min(point.loss, top - 0.05 * (top - bottom))


def _add_legend(figure: Figure, points: Sequence[Point], looks: Looks, frame: Frame) -> None:
    handles = [
        Line2D(
            [],
            [],
            marker=look.marker,
            color=look.colour,
            markersize=0.85 * look.size,
            markeredgecolor="white",
            markeredgewidth=0.4,
            linestyle="none",
            label=look.name,
        )
        for look in legend_of(looks, frame)
    ]
    if has_front(points):
        front = Line2D([], [], color=FRONT_COLOUR, linewidth=1.0, linestyle="--")
        front.set_label(front_name(points))
        handles.append(front)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, columnspacing=1.4, handletextpad=0.4
    )


def _add_labels(
    axes: Axes,
    points: Sequence[Point],
    looks: Looks,
    frame: Frame,
    corners: Sequence[tuple[float, float]],
) -> None:
    """Label the models without covering points or other labels."""
    texts, anchors, obstacles = [], [], []
    for point in points:
        x, y = axes.transData.transform(_position(axes, point, frame.scale))
        size = looks[point.kind, point.family].size
        obstacles.append(_drawn_box(axes, point, size, x, y))
        if text := frame.text_of(point):
            texts.append(text)
            anchors.append((x, y))
    turns = [tuple(axes.transData.transform(corner)) for corner in corners]
    obstacles += [
        line_box(start, end, _PIXELS_PER_POINT) for start, end in itertools.pairwise(turns)
    ]
    sizes = [_text_size(axes, text) for text in texts]
    bounds = Box(*axes.bbox.extents)
    boxes = place_labels(anchors, sizes, obstacles, bounds, gap=_LABEL_GAP * _PIXELS_PER_POINT)
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
    leader = {"arrowstyle": "-", "color": FRONT_COLOUR, "linewidth": 0.6}
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
