"""Loss curves as inline SVG in the page's own fonts and colours."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from switchhead_lab.number_text import round_count
from switchhead_lab.reporting.curves import Curve, CurvePoint, shown_losses
from switchhead_lab.reporting.figure_layout import BLACK, SERIES
from switchhead_lab.reporting.html.plot import draw_text, number_text, ticks
from switchhead_lab.reporting.training_compute import CONVENTION

WIDTH, HEIGHT = 360, 260
# Edges of the axes, in pixels from the upper left.
_LEFT, _UPPER, _RIGHT, _LOWER = 46.0, 26.0, 346.0, 222.0
_LOSS = "validation loss in nats (lower is better)"
_DASHES = {"-": "none", "--": "6 3", "-.": "7 3 1.5 3", ":": "1.5 3"}
Pixel = tuple[float, float]


@dataclass(frozen=True)
class CurveFigure:
    """The loss curves over one cost.

    Attributes:
        title: The cost.
        svg: The drawing.
    """

    title: str
    svg: Markup


@dataclass(frozen=True)
class CurveEntry:
    """A line with the name of its model, for the legend."""

    line: Markup
    name: str


def curve_figures(curves: Sequence[Curve]) -> list[CurveFigure]:
    """Return the curves over tokens and over training MACs, where they are known."""
    over: list[tuple[str, Callable[[CurvePoint], float | None]]] = [
        ("tokens", lambda point: point.tokens),
        (f"training MACs ({CONVENTION})", lambda point: point.macs),
    ]
    limits = shown_losses(curves)
    if limits is None:
        return []
    return [
        CurveFigure(f"validation loss against {label}", _draw(curves, cost_of, label, limits))
        for label, cost_of in over
        if any(cost_of(point) is not None for curve in curves for point in curve.points)
    ]


def curve_legend(curves: Sequence[Curve]) -> list[CurveEntry]:
    """Return the lines of the curves with the names of their models."""
    return [
        CurveEntry(
            _line([(0.0, 8.0), (28.0, 8.0)], *look),
            curve.name if curve.n_seeds == 1 else f"{curve.name} (n={curve.n_seeds})",
        )
        for curve, look in zip(curves, _looks(), strict=False)
    ]


def _looks() -> Iterator[tuple[str, str]]:
    """Yield the colour and the dashes of each curve in turn."""
    for colour, _, line in itertools.cycle(SERIES):
        yield "var(--ink)" if colour == BLACK else colour, _DASHES[line]


def _draw(
    curves: Sequence[Curve],
    cost_of: Callable[[CurvePoint], float | None],
    label: str,
    losses: tuple[float, float],
) -> Markup:
    found = [
        [(cost, point) for point in curve.points if (cost := cost_of(point)) is not None]
        for curve in curves
    ]
    costs = [cost for points in found for cost, _ in points]
    low, high = min(costs), max(costs)
    spans = (low, high if high > low else low + max(low, 1.0)), losses
    parts = [
        Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, HEIGHT, f"{_LOSS} against {label}"
        ),
        draw_text(8, 14, _LOSS, "axis"),
        draw_text(_RIGHT, HEIGHT - 8, label, "axis end"),
        *_axes(*spans),
    ]
    for points, curve, look in zip(found, curves, _looks(), strict=False):
        places = [_place(cost, point.mean, *spans) for cost, point in points]
        if curve.n_seeds > 1:
            parts.append(_band(points, look[0], *spans))
        parts.append(_line(list(_below_the_top(places)), *look))
    return Markup("").join([*parts, Markup("</svg>")])


def _place(cost: float, loss: float, x: tuple[float, float], y: tuple[float, float]) -> Pixel:
    """Return the pixel of a loss; above the upper edge if the loss is off the scale."""
    across = (cost - x[0]) / (x[1] - x[0])
    down = (y[1] - loss) / (y[1] - y[0])
    return (
        _LEFT + across * (_RIGHT - _LEFT),
        _UPPER + down * (_LOWER - _UPPER),
    )


def _below_the_top(places: Sequence[Pixel]) -> Iterator[Pixel]:
    """Yield the corners of a curve from where it enters the axes."""
    for before, place in itertools.pairwise([None, *places]):
        assert place is not None, "only the first has none before it"
        if place[1] >= _UPPER:
            if before is not None and before[1] < _UPPER:
                share = (_UPPER - before[1]) / (place[1] - before[1])
                yield before[0] + share * (place[0] - before[0]), _UPPER
            yield place


def _line(places: Sequence[Pixel], colour: str, dashes: str) -> Markup:
    path = "L".join(f"{number_text(x)} {number_text(y)}" for x, y in places)
    end = "h0" if len(places) == 1 else ""  # a dot
    return Markup('<path class="curve" style="--c:{}" stroke-dasharray="{}" d="M{}{}"/>').format(
        colour, dashes, path or "0 0", end
    )


def _band(
    points: Sequence[tuple[float, CurvePoint]],
    colour: str,
    x: tuple[float, float],
    y: tuple[float, float],
) -> Markup:
    """Return the area of one standard deviation around a curve, inside the axes."""
    edges = [
        [_place(cost, point.mean + sign * point.std, x, y) for cost, point in points]
        for sign in (1.0, -1.0)
    ]
    corners = [*edges[0], *reversed(edges[1])]
    inside = [(px, min(max(py, _UPPER), _LOWER)) for px, py in corners]
    path = " ".join(f"{number_text(px)},{number_text(py)}" for px, py in inside)
    return Markup('<polygon class="band" style="--c:{}" points="{}"/>').format(colour, path)


def _axes(x: tuple[float, float], y: tuple[float, float]) -> Iterator[Markup]:
    """Yield grid lines with their values."""
    grid: list[str] = []
    for value in ticks(*y):
        _, py = _place(x[0], value, x, y)
        grid.append(f"M{number_text(_LEFT)} {number_text(py)}H{number_text(_RIGHT)}")
        yield draw_text(_LEFT - 6, py + 3.5, f"{value:g}", "tick end")
    for value in ticks(*x):
        px, _ = _place(value, y[0], x, y)
        grid.append(f"M{number_text(px)} {number_text(_UPPER)}V{number_text(_LOWER)}")
        yield draw_text(px, _LOWER + 15, round_count(value), "tick mid")
    yield Markup('<path class="grid" d="{}"/>').format("".join(grid))
