"""The figure of loss curves: over tokens and steps, and over training compute."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from switchhead_lab.number_text import round_count
from switchhead_lab.reporting.curves import Curve, CurvePoint, shown_losses
from switchhead_lab.reporting.figure_layout import SERIES
from switchhead_lab.reporting.figures.style import (
    Figures,
    save,
    styled_figure,
)
from switchhead_lab.reporting.training_compute import CONVENTION

_SIZE_INCHES = (7.2, 3.2)


def draw_curves(curves: Sequence[Curve], title: str) -> Figures:
    """Draw the validation loss of each model, with one standard deviation over seeds."""
    with styled_figure(*_SIZE_INCHES) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        left.set_title(title, loc="left")
        left.set_xlabel("tokens")
        left.set_ylabel("validation loss in nats (lower is better)")
        right.set_xlabel(f"training MACs ({CONVENTION} convention)")
        for curve, (colour, _, line) in zip(curves, itertools.cycle(SERIES), strict=False):
            _draw(left, curve, lambda point: point.tokens, colour, line)
            _draw(right, curve, lambda point: point.macs, colour, line)
        if (limits := shown_losses(curves)) is not None:
            left.set_ylim(*limits)
        _add_steps(left, curves)
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: round_count(value)))
        if curves:
            handles, labels = left.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=4)
        else:
            left.text(0.5, 0.5, "no finished run", ha="center", transform=left.transAxes)
        return save(figure)


def _draw(
    axes: Axes,
    curve: Curve,
    cost_of: Callable[[CurvePoint], float | None],
    colour: str,
    line: str,
) -> None:
    points = [(cost, point) for point in curve.points if (cost := cost_of(point)) is not None]
    if not points:
        return
    costs = [cost for cost, _ in points]
    means = [point.mean for _, point in points]
    label = curve.name if curve.n_seeds == 1 else f"{curve.name} (n={curve.n_seeds})"
    marker = "." if len(points) == 1 else ""
    axes.plot(costs, means, color=colour, linestyle=line, linewidth=1.4, marker=marker, label=label)
    if curve.n_seeds > 1:
        low = [point.mean - point.std for _, point in points]
        high = [point.mean + point.std for _, point in points]
        axes.fill_between(costs, low, high, color=colour, alpha=0.18, linewidth=0.0)


def _add_steps(axes: Axes, curves: Sequence[Curve]) -> None:
    """Count steps along the upper edge, if all models have as many tokens in a step."""
    ratios = {point.tokens / point.step for curve in curves for point in curve.points if point.step}
    if len(ratios) != 1:
        return
    (ratio,) = ratios

    def steps_of(tokens: Any) -> Any:
        return tokens / ratio

    def tokens_of(steps: Any) -> Any:
        return steps * ratio

    upper = axes.secondary_xaxis("top", functions=(steps_of, tokens_of))
    upper.set_xlabel("steps")
    upper.xaxis.set_major_locator(MaxNLocator(5))
