"""Trade-off figures as inline SVG in the page's own fonts and colours."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from switchhead_lab.reporting.figure_layout import (
    BLACK,
    Frame,
    Look,
    Looks,
    empty_text,
    frame_of,
    front_corners,
    looks_of,
)
from switchhead_lab.reporting.html.plot import draw_text, number_text, ticks
from switchhead_lab.reporting.html.runs import Reference
from switchhead_lab.reporting.labels import Box, line_box, place_labels
from switchhead_lab.reporting.tradeoff import Point

WIDTH, HEIGHT = 360, 300
# Inside of the axes, in pixels from the upper left.
_PLOT = Box(46.0, 26.0, 352.0, 258.0)
_CHARACTER, _LINE = 6.0, 13.0  # width and height of a label's text, nearly
_GAP, _LEADER_FROM = 7.0, 13.0
_PIXELS_PER_POINT = 1.15
# Corners of the markers, in radii from the centre, and as angles from the top for stars.
_POLYGONS: dict[str, tuple[tuple[float, float], ...]] = {
    "s": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "D": ((0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)),
    "^": ((0.0, -1.0), (1.0, 0.9), (-1.0, 0.9)),
    "v": ((0.0, 1.0), (1.0, -0.9), (-1.0, -0.9)),
    "h": tuple((math.sin(n * math.pi / 3), -math.cos(n * math.pi / 3)) for n in range(6)),
    "*": tuple(
        (r * math.sin(n * math.pi / 5), -r * math.cos(n * math.pi / 5))
        for n, r in enumerate((1.0, 0.42) * 5)
    ),
    "P": (
        *((-0.4, -1.0), (0.4, -1.0), (0.4, -0.4), (1.0, -0.4), (1.0, 0.4), (0.4, 0.4)),
        *((0.4, 1.0), (-0.4, 1.0), (-0.4, 0.4), (-1.0, 0.4), (-1.0, -0.4), (-0.4, -0.4)),
    ),
    "X": (
        *((-1.0, -0.5), (-0.5, -1.0), (0.0, -0.5), (0.5, -1.0), (1.0, -0.5), (0.5, 0.0)),
        *((1.0, 0.5), (0.5, 1.0), (0.0, 0.5), (-0.5, 1.0), (-1.0, 0.5), (-0.5, 0.0)),
    ),
}


@dataclass(frozen=True)
class _Canvas:
    """Maps a figure's limits to pixels."""

    frame: Frame
    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, cost: float) -> float:
        """Return the pixel of a cost in units of the axis."""
        share = (cost - self.x[0]) / (self.x[1] - self.x[0])
        return _PLOT.left + share * (_PLOT.right - _PLOT.left)

    def down(self, loss: float) -> float:
        """Return the pixel of a loss; outliers are just below the upper edge."""
        low, high = self.y
        share = (min(loss, high - 0.05 * (high - low)) - low) / (high - low)
        return _PLOT.top - share * (_PLOT.top - _PLOT.bottom)

    def place(self, point: Point) -> tuple[float, float]:
        """Return the pixel of a point."""
        return self.across(point.cost / self.frame.scale), self.down(point.loss)


def draw_figure(
    points: Sequence[Point],
    cost_label: str,
    loss_label: str,
    reference: Callable[[Point], Reference | None],
) -> Markup:
    """Draw the models' quality metric against a cost as SVG, with the Pareto front.

    It has no ids, so that a page may have many.

    Args:
        points: Points to draw; equal points give equal text.
        cost_label: Name of the horizontal axis; `{unit}` in it becomes "k ", "M " or the like.
        loss_label: Name of the vertical axis; lower is better.
        reference: Returns the link of a point to its runs.
    """
    frame, looks = frame_of(points), looks_of(points)
    parts = [
        Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, HEIGHT, f"{loss_label} against {cost_label.format(unit='')}"
        ),
        draw_text(8, 14, loss_label, "axis"),
        draw_text(_PLOT.right, HEIGHT - 8, cost_label.format(unit=frame.unit), "axis end"),
    ]
    if frame.x is None or frame.y is None:
        middle = (_PLOT.left + _PLOT.right) / 2, (_PLOT.bottom + _PLOT.top) / 2
        parts.append(draw_text(*middle, empty_text(points), "axis mid"))
    else:
        canvas = _Canvas(frame, frame.x, frame.y)
        corners = [(canvas.across(x), canvas.down(y)) for x, y in front_corners(points, frame)]
        parts += [
            *_axes(canvas),
            *_front(corners),
            *_candidates(points, looks, canvas),
            *_models(points, looks, canvas, reference),
            *_labels(points, looks, canvas, corners),
        ]
    return Markup("").join([*parts, Markup("</svg>")])


def marker(look: Look, x: float, y: float) -> Markup:
    """Return the shape of a look around a pixel."""
    radius = look.size * _PIXELS_PER_POINT / 2
    paint = "ink" if look.colour == BLACK else "mark"
    fill = Markup("") if look.colour == BLACK else Markup(' style="--c:{}"').format(look.colour)
    if look.marker not in _POLYGONS:
        shape = Markup('<circle class="{}" cx="{}" cy="{}" r="{}"{}/>')
        return shape.format(paint, number_text(x), number_text(y), number_text(radius), fill)
    corners = " ".join(
        f"{number_text(x + radius * dx)},{number_text(y + radius * dy)}"
        for dx, dy in _POLYGONS[look.marker]
    )
    return Markup('<polygon class="{}" points="{}"{}/>').format(paint, corners, fill)


def _axes(canvas: _Canvas) -> Iterator[Markup]:
    """Yield grid lines with their values."""
    grid: list[str] = []
    for value in ticks(*canvas.y):
        y = canvas.down(value)
        grid.append(f"M{number_text(_PLOT.left)} {number_text(y)}H{number_text(_PLOT.right)}")
        yield draw_text(_PLOT.left - 6, y + 3.5, f"{value:g}", "tick end")
    for value in ticks(*canvas.x):
        x = canvas.across(value)
        grid.append(f"M{number_text(x)} {number_text(_PLOT.top)}V{number_text(_PLOT.bottom)}")
        yield draw_text(x, _PLOT.top + 15, f"{value:g}", "tick mid")
    yield Markup('<path class="grid" d="{}"/>').format("".join(grid))


def _front(corners: Sequence[tuple[float, float]]) -> Iterator[Markup]:
    if corners:
        path = "L".join(f"{number_text(x)} {number_text(y)}" for x, y in corners)
        yield Markup('<path class="front" d="M{}"/>').format(path)


def _candidates(points: Sequence[Point], looks: Looks, canvas: _Canvas) -> Iterator[Markup]:
    """Yield one path of dots for each look, which is small even for a thousand candidates."""
    dots: dict[Look, list[str]] = {}
    for point in points:
        if point.kind == "candidate":
            x, y = canvas.place(point)
            look = looks[point.kind, point.family]
            dots.setdefault(look, []).append(f"M{number_text(x)} {number_text(y)}h0")
    for look, moves in dots.items():
        path = Markup('<path class="dots" style="--c:{}" stroke-width="{}" d="{}"/>')
        yield path.format(look.colour, number_text(look.size * _PIXELS_PER_POINT), "".join(moves))


def _models(
    points: Sequence[Point],
    looks: Looks,
    canvas: _Canvas,
    reference: Callable[[Point], Reference | None],
) -> Iterator[Markup]:
    for point in points:
        if point.kind == "candidate":
            continue
        look = canvas.frame.look(point, looks)
        x, y = canvas.place(point)
        parts = [Markup("<title>{}</title>").format(_describe(point))]
        if point.std and not canvas.frame.is_off(point):
            bar = "M{0} {1}V{2}M{3} {1}H{4}M{3} {2}H{4}".format(
                *map(number_text, (x, canvas.down(point.loss + point.std))),
                *map(number_text, (canvas.down(point.loss - point.std), x - 3, x + 3)),
            )
            colour = "var(--ink)" if look.colour == BLACK else look.colour
            parts.append(Markup('<path class="bar" style="--c:{}" d="{}"/>').format(colour, bar))
        shape = Markup("").join([*parts, marker(look, x, y)])
        link = reference(point)
        if link is None:
            yield Markup("<g>{}</g>").format(shape)
        else:
            yield Markup('<a class="v" href="#{}" data-r="{}">{}</a>').format(
                link.anchor, link.numbers, shape
            )


def _describe(point: Point) -> str:
    spread = "" if point.std is None else f" ± {point.std:.3g}"
    return f"{point.label}: {point.loss:.5g}{spread}, {point.cost:.4g}"


def _labels(
    points: Sequence[Point],
    looks: Looks,
    canvas: _Canvas,
    corners: Sequence[tuple[float, float]],
) -> Iterator[Markup]:
    """Yield names of the models beside their points, without covering anything."""
    texts, anchors, obstacles = [], [], []
    for point in points:
        x, y = canvas.place(point)
        radius = looks[point.kind, point.family].size * _PIXELS_PER_POINT / 2
        up = max(radius, abs(canvas.down(point.loss - (point.std or 0.0)) - y))
        obstacles.append(Box(x - radius, y - up, x + radius, y + up))
        if text := canvas.frame.text_of(point):
            texts.append(text)
            anchors.append((x, y))
    obstacles += [line_box(a, b, 1.0) for a, b in itertools.pairwise(corners)]
    sizes = [(_CHARACTER * len(text), _LINE) for text in texts]
    boxes = place_labels(anchors, sizes, obstacles, _PLOT, gap=_GAP)
    for text, anchor, box in zip(texts, anchors, boxes, strict=True):
        x, y = box.centre
        if box.distance_to(*anchor) > _LEADER_FROM:
            line = Markup('<path class="leader" d="M{} {}L{} {}"/>')
            near = (
                min(max(anchor[0], box.left), box.right),
                min(max(anchor[1], box.bottom), box.top),
            )
            yield line.format(*map(number_text, (*anchor, *near)))
        yield draw_text(x, y + 4, text, "name mid")
