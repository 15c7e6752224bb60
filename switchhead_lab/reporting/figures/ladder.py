"""The figure of a ladder: loss against training compute, with the fitted power laws."""

import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    FuncFormatter,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)

from switchhead_lab.claims.scaling import law_band
from switchhead_lab.number_text import round_count
from switchhead_lab.reporting.figure_layout import SERIES
from switchhead_lab.reporting.figures.style import (
    Figures,
    save,
    styled_figure,
)
from switchhead_lab.reporting.ladder import Ladder, LadderModel
from switchhead_lab.reporting.training_compute import CONVENTION

_SIZE_INCHES = (5.6, 4.0)
_N_CURVE_POINTS = 64


def draw_ladder(ladder: Ladder) -> Figures:
    """Draw the loss of every model against its training compute, both axes logarithmic.

    Markers are means over seeds with the sample standard deviation, lines the fitted power laws
    with their 95 % bands, each over its own sizes only.
    """
    with styled_figure(*_SIZE_INCHES) as figure:
        axes = figure.subplots()
        axes.set_title(f"{ladder.name}: {ladder.sizes[0].record.sweep.data.corpus}", loc="left")
        axes.set_xlabel(f"MACs of the training ({CONVENTION} convention)")
        axes.set_ylabel("validation loss in nats (lower is better)")
        axes.set_xscale("log")
        axes.set_yscale("log")
        for model, (colour, marker, _) in zip(ladder.models, itertools.cycle(SERIES), strict=False):
            _draw_model(axes, model, colour, marker)
        _set_ticks(axes, [rung.macs for model in ladder.models for rung in model.rungs])
        if any(model.rungs for model in ladder.models):
            figure.legend(loc="outside lower center", ncols=3)
        else:
            axes.text(0.5, 0.5, "no finished run", ha="center", transform=axes.transAxes)
        return save(figure)


def _draw_model(axes: Axes, model: LadderModel, colour: str, marker: str) -> None:
    rungs = model.rungs
    if not rungs:
        return
    macs = [rung.macs for rung in rungs]
    axes.errorbar(
        macs,
        [statistics.fmean(rung.losses) for rung in rungs],
        yerr=[statistics.stdev(rung.losses) if len(rung.losses) > 1 else 0.0 for rung in rungs],
        color=colour,
        marker=marker,
        markersize=6.0,
        markeredgecolor="white",
        markeredgewidth=0.6,
        linestyle="none",
        capsize=2.5,
        zorder=3,
        label=model.name,
    )
    if model.law is None:
        return
    curve = [float(one) for one in np.geomspace(min(macs), max(macs), _N_CURVE_POINTS)]
    axes.plot(curve, [model.law.loss(one) for one in curve], color=colour, linewidth=1.0, zorder=2)
    band = law_band(rungs, curve)
    if band is not None:
        axes.fill_between(curve, *band, color=colour, alpha=0.15, linewidth=0.0, zorder=1)


def _set_ticks(axes: Axes, macs: Sequence[float]) -> None:
    """Label the horizontal axis at the trained sizes' decades, the vertical one in plain nats."""
    if macs and max(macs) < 1.1 * min(macs):  # a single size gives the axis no width
        axes.set_xlim(min(macs) / 3.0, max(macs) * 3.0)
    axes.tick_params(axis="x", which="both", length=3.5, labelsize=9)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: round_count(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if macs and max(macs) < 30.0 * min(macs):  # no or one power of ten between them
        axes.xaxis.set_minor_formatter(FuncFormatter(_only_some))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.yaxis.set_minor_locator(NullLocator())


def _only_some(value: float, _: int | None = None) -> str:
    """Label minor ticks at 2 and 5 times a power of ten."""
    first = value / 10.0 ** math.floor(math.log10(value))
    return round_count(value) if round(first, 6) in (2.0, 5.0) else ""
