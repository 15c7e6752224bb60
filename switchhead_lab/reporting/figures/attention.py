"""Attention maps, with the choices of the routers beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from switchhead_lab.reporting.figures.style import Figures, save, styled_figure

_MAP_INCHES, _AROUND_INCHES = 2.7, 0.75
_STRIP_OF_EXPERT = 0.03  # width of one expert's column, as a share of the map's
_LABEL_SIZE = 6.0
_DECIMALS = 3
_MAPS, _CHOICES = "viridis", "Blues"
Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AttentionPanel:
    """One attention map.

    Attributes:
        title: Heading.
        weights: Weights by query (row) and key (column).
        output_choice: Weights of the output router's experts by query; None without one.
        value_choice: Weights of the value router's experts by key; None without one.
    """

    title: str
    weights: Array
    output_choice: Array | None = None
    value_choice: Array | None = None


def draw_attention(
    rows: Sequence[Sequence[AttentionPanel]], tokens: Sequence[str], title: str
) -> Figures:
    """Draw maps in rows; equal panels give equal bytes.

    Weights are rounded to three decimals, so that the order of sums does not change the bytes.

    Args:
        rows: Panels, row by row.
        tokens: Tokens of the sequence, written at both axes.
        title: Heading of the figure.
    """
    n_columns = max(len(row) for row in rows)
    side = _MAP_INCHES + _AROUND_INCHES
    with styled_figure(side * n_columns, side * len(rows) + 0.3) as figure:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
        grid = figure.subplots(len(rows), n_columns, squeeze=False)
        for axes_of_row, row in zip(grid, rows, strict=True):
            for axes, panel in zip(axes_of_row, row, strict=False):
                _draw_panel(figure, axes, panel, tokens)
            for axes in axes_of_row[len(row) :]:
                axes.set_visible(False)
        return save(figure)


def _draw_panel(figure: Figure, axes: Axes, panel: AttentionPanel, tokens: Sequence[str]) -> None:
    axes.set_title(panel.title, fontsize=9)
    image = axes.imshow(
        panel.weights.round(_DECIMALS), cmap=_MAPS, vmin=0.0, interpolation="nearest"
    )
    figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02).ax.tick_params(labelsize=_LABEL_SIZE)
    _write_tokens(axes, tokens)
    if panel.output_choice is not None:
        _draw_output_choice(axes, panel.output_choice, tokens)
    if panel.value_choice is not None:
        _draw_value_choice(axes, panel.value_choice, tokens)


def _write_tokens(axes: Axes, tokens: Sequence[str]) -> None:
    axes.grid(visible=False)
    places = range(len(tokens))
    axes.set_xticks(places, tokens, fontsize=_LABEL_SIZE, rotation=90)
    axes.set_yticks(places, tokens, fontsize=_LABEL_SIZE)
    axes.tick_params(length=0, pad=1)


def _draw_output_choice(axes: Axes, choice: Array, tokens: Sequence[str]) -> None:
    """Draw the output experts at the left, one column per expert."""
    share = _STRIP_OF_EXPERT * choice.shape[1]
    strip = axes.inset_axes((-share - 0.02, 0.0, share, 1.0))
    _draw_choice(strip, choice)
    strip.set_yticks(range(len(tokens)), tokens, fontsize=_LABEL_SIZE)
    strip.set_xticks([])
    axes.set_yticks([])


def _draw_value_choice(axes: Axes, choice: Array, tokens: Sequence[str]) -> None:
    """Draw the value experts below, one row per expert."""
    share = _STRIP_OF_EXPERT * choice.shape[1]
    strip = axes.inset_axes((0.0, -share - 0.02, 1.0, share))
    _draw_choice(strip, choice.T)
    strip.set_xticks(range(len(tokens)), tokens, fontsize=_LABEL_SIZE, rotation=90)
    strip.set_yticks([])
    axes.set_xticks([])


def _draw_choice(strip: Axes, choice: Array) -> None:
    strip.imshow(
        choice.round(_DECIMALS),
        cmap=_CHOICES,
        vmin=0.0,
        vmax=1.0,
        aspect="auto",
        interpolation="nearest",
    )
    strip.grid(visible=False)
    strip.tick_params(length=0, pad=1)
