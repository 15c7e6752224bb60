"""The figures of a sweep's report: what each shows, drawn only if that has changed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from switchhead_lab.reporting.contents import Contents, figure_name
from switchhead_lab.reporting.curves import Curve
from switchhead_lab.reporting.earlier_figures import EarlierFigures, figure_identity
from switchhead_lab.reporting.expert_use import ExpertUse, read_expert_use
from switchhead_lab.reporting.figure_axes import FigureAxis
from switchhead_lab.reporting.quality import Quality
from switchhead_lab.reporting.searches import Search, read_searches
from switchhead_lab.reporting.tradeoff import Point, tradeoff_points

if TYPE_CHECKING:
    from switchhead_lab.reporting.figures.style import Figures

CURVES = "loss-curves"
EXPERT_USE = "expert-use"
"""First words of the names of figures of a model's use of its experts."""
SEARCH = "search"
"""First word of the names of figures of searches."""


@dataclass(frozen=True)
class Drawn:
    """A figure as drawn.

    Attributes:
        name: Name of its files, without suffix.
        identity: Identity of what it shows.
        files: Its files by name.
    """

    name: str
    identity: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class _Planned:
    """A figure to draw: its name, what it shows, and how to draw it."""

    name: str
    shown: tuple[object, ...]
    draw: "Callable[[], Figures]"


def draw_figures(contents: Contents, earlier: EarlierFigures) -> list[Drawn]:
    """Draw the figures of a report, except those that the earlier report already has.

    Raises:
        RecordError: If the metrics or the use of experts of a run are damaged.
    """
    drawn = []
    plans = (_tradeoffs, _curves, _expert_use, _searches)
    for planned in (planned for plan in plans for planned in plan(contents)):
        identity = figure_identity(*planned.shown)
        files = earlier.find(planned.name, identity)
        drawn.append(Drawn(planned.name, identity, files or planned.draw().files(planned.name)))
    return drawn


def _tradeoffs(contents: Contents) -> Iterator[_Planned]:
    data, quality = contents.data, contents.data.quality
    for axis in contents.axes:
        points, heading = tradeoff_points(data, axis), _heading(contents)
        yield _Planned(
            name=figure_name(data, axis),
            shown=(points, heading, axis.label, quality.drawn_heading),
            draw=partial(_draw_tradeoff, points, heading, axis, quality),
        )


def _curves(contents: Contents) -> Iterator[_Planned]:
    curves, heading = contents.curves, _heading(contents)
    if curves:
        yield _Planned(CURVES, (curves, heading), partial(_draw_curves, curves, heading))


def _expert_use(contents: Contents) -> Iterator[_Planned]:
    for use in read_expert_use(contents.data):
        yield _Planned(f"{EXPERT_USE}-{use.model}", (use,), partial(_draw_expert_use, use))


def _searches(contents: Contents) -> Iterator[_Planned]:
    for search in read_searches(contents.data):
        yield _Planned(f"{SEARCH}-{search.study}", (search,), partial(_draw_search, search))


# matplotlib is imported late: a report with unchanged figures does without it.


def _draw_tradeoff(
    points: Sequence[Point], heading: str, axis: FigureAxis, quality: Quality
) -> "Figures":
    from switchhead_lab.reporting.figures.tradeoff import draw_tradeoff

    return draw_tradeoff(
        points, title=heading, cost_label=axis.label, loss_label=quality.drawn_heading
    )


def _draw_curves(curves: Sequence[Curve], heading: str) -> "Figures":
    from switchhead_lab.reporting.figures.curves import draw_curves

    return draw_curves(curves, heading)


def _draw_expert_use(use: ExpertUse) -> "Figures":
    from switchhead_lab.reporting.figures.expert_use import draw_expert_use

    return draw_expert_use(use)


def _draw_search(search: Search) -> "Figures":
    from switchhead_lab.reporting.figures.searches import draw_search

    return draw_search(search)


def tradeoff_files(
    points: Sequence[Point], heading: str, axis: FigureAxis, quality: Quality, name: str
) -> dict[str, bytes]:
    """Draw a trade-off figure; return its files by name."""
    return _draw_tradeoff(points, heading, axis, quality).files(name)


def _heading(contents: Contents) -> str:
    sweep = contents.data.record.sweep
    return f"{sweep.data.corpus}, size {sweep.size}"
