"""The style of all figures, and their files: equal figures give equal bytes on every machine."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

DPI = 150
GREY = "#8a8a8a"
Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")

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
_METADATA: dict[Format, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@contextmanager
def styled_figure(width: float, height: float) -> Iterator[Figure]:
    """Give a figure in the style, which ignores the user's; save it inside the block.

    Args:
        width: Width in inches.
        height: Height in inches.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def saved(figure: Figure, kind: Format) -> bytes:
    """Return the bytes of a figure in one format."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=_METADATA[kind])
    return buffer.getvalue()


def figure_files(figure: Figure, name: str, kinds: Sequence[Format] = FORMATS) -> dict[str, bytes]:
    """Return the files of a figure by name, one per format."""
    return {f"{name}.{kind}": saved(figure, kind) for kind in kinds}
