"""The figure of a search: results by trial, parallel coordinates, and importance of fields."""

import itertools
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from switchhead_lab.reporting.figures.style import (
    GREY,
    SHADES,
    Figures,
    save,
    styled_figure,
)
from switchhead_lab.reporting.searches import Candidate, Search

_SIZE_INCHES = (7.2, 3.2)
_BEST = "#D55E00"
_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}


def draw_search(search: Search) -> Figures:
    """Draw the results of a search by trial with the best so far, and its parallel coordinates.

    With enough candidates, the importance of each searched field comes below.
    """
    n_fields = len(search.importances)
    heights = [_SIZE_INCHES[1], *([0.7 + 0.22 * n_fields] if n_fields else ())]
    with styled_figure(_SIZE_INCHES[0], sum(heights)) as figure:
        figure.suptitle(f"Search of {search.study}", x=0.01, ha="left", fontsize=11)
        grid = figure.add_gridspec(len(heights), 2, width_ratios=(1.0, 1.4), height_ratios=heights)
        _draw_history(figure.add_subplot(grid[0, 0]), search)
        _draw_coordinates(figure.add_subplot(grid[0, 1]), search)
        if n_fields:
            _draw_importances(figure.add_subplot(grid[1, :]), search)
        return save(figure)


def _draw_importances(axes: Axes, search: Search) -> None:
    """Draw the share of importance of each field, the largest at the top."""
    names = [name for name, _ in search.importances]
    shares = [100 * share for _, share in search.importances]
    axes.barh(names, shares, color=GREY, height=0.6)
    for place, share in enumerate(shares):
        axes.text(share + 1, place, f"{share:.0f} %", fontsize=8, va="center")
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xlabel("importance (PED-ANOVA: best quarter of the candidates against all), %")
    axes.tick_params(axis="y", labelsize=8.5)


def _draw_history(axes: Axes, search: Search) -> None:
    numbers = [one.trial_number for one in search.candidates]
    values = [one.quality for one in search.candidates]
    axes.plot(numbers, values, "o", color=GREY, markersize=4.5, label="candidate")
    lowest = list(itertools.accumulate(values, min))
    axes.step(numbers, lowest, where="post", color="#000000", linewidth=1.2, label="best so far")
    best = search.best
    axes.plot(best.trial_number, best.quality, "*", color=_BEST, markersize=12, label="best")
    for number in search.without_result:
        label = "without a result" if number == search.without_result[0] else None
        axes.plot(number, 0.03, "x", color=GREY, transform=axes.get_xaxis_transform(), label=label)
    axes.set_xlabel("trial")
    axes.set_ylabel(f"{search.quality_label} (lower is better)")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.margins(x=0.06, y=0.14)
    axes.legend(loc="best", fontsize=8)


def _draw_coordinates(axes: Axes, search: Search) -> None:
    """Draw a line for each candidate through its values, the best one on top."""
    places = range(len(search.dimensions) + 1)
    low, high = _limits(search.candidates)
    best = search.best
    colours = mpl.colormaps[SHADES].reversed()
    for one in sorted(search.candidates, key=lambda one: one is best):
        share = (one.quality - low) / (high - low)
        colour, width = (_BEST, 2.4) if one is best else (colours(share), 1.1)
        axes.plot(
            list(places),
            [*one.heights, share],
            color=colour,
            linewidth=width,
            alpha=1.0 if one is best else 0.85,
        )
    for place, dimension in enumerate(search.dimensions):
        for height, text in dimension.labels:
            axes.text(place + 0.05, height, text, fontsize=8, va="center", bbox=_BOX, zorder=4)
    for height, value in ((0.0, low), (1.0, high)):
        text = f"{value:.4g}"
        axes.text(places[-1] + 0.05, height, text, fontsize=8, va="center", bbox=_BOX, zorder=4)
    axes.set_xticks(
        list(places), [*(one.name for one in search.dimensions), search.quality_label], rotation=18
    )
    axes.tick_params(axis="x", labelsize=8.5)
    axes.grid(axis="x", color="#c4c4c4", linewidth=1.0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.06, 1.06)
    axes.set_xlim(-0.1, places[-1] + 0.35)


def _limits(candidates: Sequence[Candidate]) -> tuple[float, float]:
    """Return the lowest and highest value, apart even if all are equal."""
    values = [one.quality for one in candidates]
    low, high = min(values), max(values)
    return low, high if high > low else low + max(abs(low), 1.0) * 1e-3
