"""Figures in the common style, in three formats."""

from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib.figure import Figure

from switchhead_lab.reporting.plots import DPI, Format, figure_style, saved

GREY = "#8a8a8a"
_FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")


@contextmanager
def styled_figure(width: float, height: float) -> Iterator[Figure]:
    """Give a figure in the common style; save it inside the block.

    Args:
        width: Width in inches.
        height: Height in inches.
    """
    with figure_style():
        yield Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def figure_files(figure: Figure, name: str) -> dict[str, bytes]:
    """Return the files of a figure by name, one per format."""
    return {f"{name}.{kind}": saved(figure, kind) for kind in _FORMATS}
