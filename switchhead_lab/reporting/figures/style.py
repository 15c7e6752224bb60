"""The style of figures and their formats: equal figures give equal bytes."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from switchhead_lab.reporting.figure_layout import FORMATS, FRONT_COLOUR

DPI = 150
GREY = FRONT_COLOUR
SHADES = "cividis"
"""Colour map that is equally readable with any colour vision, and in grey."""
_STYLE: dict[Any, Any] = {
    # Ships with matplotlib, so that figures have the same bytes on every machine.
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.hashsalt": "switchhead_lab",
}
# Without time of writing and versions, on which the bytes would depend.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True)
class Figures:
    """One figure in every format.

    Attributes:
        by_format: Contents of its files, by `FORMATS`.
    """

    by_format: dict[str, bytes]

    def files(self, name: str) -> dict[str, bytes]:
        """Return its files; `name` is theirs without suffix."""
        return {f"{name}.{kind}": data for kind, data in self.by_format.items()}


@contextmanager
def styled_figure(width: float, height: float) -> Iterator[Figure]:
    """Give a figure in the common style, whatever the user's own; save it inside the block.

    Args:
        width: Width in inches.
        height: Height in inches.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def fix_layout(figure: Figure) -> None:
    """Lay out a figure for good: what is drawn later is measured, but moves nothing."""
    figure.draw_without_rendering()
    figure.set_layout_engine(None)


def save(figure: Figure) -> Figures:
    """Return a figure in every format, with one layout for all."""
    if figure.get_layout_engine() is not None:
        fix_layout(figure)
    return Figures({kind: _saved(figure, kind) for kind in FORMATS})


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=_METADATA[kind])
    return buffer.getvalue()
