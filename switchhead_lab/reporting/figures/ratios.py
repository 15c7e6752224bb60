"""Ratios to the dense baseline, the paper's beside ours, one panel per quantity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from switchhead_lab.reporting.figures.style import GREY, Figures, save, styled_figure

_PAPER, _OURS = "#000000", "#D55E00"
_WIDTH_OF_NAMES, _WIDTH_OF_PANEL = 2.2, 1.9
_HEIGHT_OF_ROW, _HEIGHT_AROUND = 0.21, 1.1
_NAME_SIZE = 8.5


@dataclass(frozen=True)
class Ratio:
    """A ratio to dense in the paper and ours.

    Attributes:
        paper: The paper's; None if not printed.
        ours: Ours; None without a result.
        std: Standard deviation of ours; None for one seed or an exact quantity.
    """

    paper: float | None
    ours: float | None
    std: float | None = None


@dataclass(frozen=True)
class RatioRow:
    """One row of the figure.

    Attributes:
        label: Name of the row.
        group: Name of its block; a line separates blocks.
        ratios: One ratio per panel.
    """

    label: str
    group: str
    ratios: tuple[Ratio, ...]


def draw_ratios(rows: Sequence[RatioRow], panels: Sequence[str], title: str) -> Figures:
    """Draw the ratios; equal rows give equal bytes.

    Args:
        rows: The rows, from the top.
        panels: Headings of the panels.
        title: Heading of the figure.
    """
    width = _WIDTH_OF_NAMES + _WIDTH_OF_PANEL * len(panels)
    with styled_figure(width, _HEIGHT_AROUND + _HEIGHT_OF_ROW * len(rows)) as figure:
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        for number, (panel, heading) in enumerate(zip(axes, panels, strict=True)):
            _draw_panel(panel, rows, number)
            panel.set_xlabel(heading)
        axes[0].set_yticks(range(len(rows)), [row.label for row in rows], fontsize=_NAME_SIZE)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        figure.legend(
            handles=[_handle("paper", _PAPER, "none"), _handle("ours", _OURS, _OURS)],
            loc="outside lower right",
            ncols=2,
            handletextpad=0.2,
        )
        return save(figure)


def _draw_panel(axes: Axes, rows: Sequence[RatioRow], number: int) -> None:
    axes.axvline(1.0, color=GREY, linewidth=0.8, zorder=1)
    axes.tick_params(axis="y", length=0)
    for place, row in enumerate(rows):
        ratio = row.ratios[number]
        if ratio.paper is not None and ratio.ours is not None:
            ends = (ratio.paper, ratio.ours)
            axes.plot(ends, (place, place), color=GREY, linewidth=0.8, zorder=2)
        if ratio.ours is not None:
            axes.errorbar(ratio.ours, place, xerr=ratio.std, capsize=2, zorder=3, **_look(_OURS))
        if ratio.paper is not None:
            axes.plot(ratio.paper, place, zorder=4, **_look(_PAPER, "none"))
        if place and row.group != rows[place - 1].group:
            axes.axhline(place - 0.5, color=GREY, linewidth=0.5, linestyle=":", zorder=1)


def _look(colour: str, fill: str = "") -> dict[str, Any]:
    return {
        "marker": "o",
        "color": colour,
        "markerfacecolor": fill or colour,
        "markersize": 5.0,
        "linestyle": "none",
    }


def _handle(label: str, colour: str, fill: str) -> Line2D:
    return Line2D(
        [], [], label=label, marker="o", color=colour, markerfacecolor=fill, linestyle="none"
    )
