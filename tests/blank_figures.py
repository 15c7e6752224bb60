"""Figures saved as their titles, in tests that are not about how they look: layout is slow."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Tests in these folders write reports; the others need not load Matplotlib.
FOLDERS = {"cli", "integration", "reporting", "trained", "upkeep"}


@pytest.fixture(autouse=True)
def _blank_figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Save titles only, unless a test is marked `draws_figures`."""
    item = request.node
    folders = {folder.name for folder in item.path.parents}
    is_blank = folders & FOLDERS and item.get_closest_marker("draws_figures") is None
    with blanked() if is_blank else nullcontext():
        yield


@contextmanager
def blanked() -> Iterator[None]:
    """Save titles only; for fixtures that several tests share."""
    from matplotlib.figure import Figure

    from switchhead_lab.reporting.figures import style, tradeoff

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "_saved", _titles)
        # Only labels need the layout, and titles are not labels.
        patch.setattr(Figure, "draw_without_rendering", lambda _figure: None)
        patch.setattr(tradeoff, "_add_labels", lambda *_arguments: None)
        yield


def _titles(figure: "Figure", kind: str) -> bytes:
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    return f"{kind}: {figure.get_suptitle()}{titles}".encode()
