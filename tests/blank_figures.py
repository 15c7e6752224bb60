"""Figures saved as their titles, in tests that are not about how they look: layout is slow."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Tests in these folders write reports; the others need not load Matplotlib.
FOLDERS = {"cli", "integration", "reporting", "trained", "upkeep"}


@pytest.fixture(autouse=True)
def _blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save titles only, unless a test is marked `draws_figures`."""
    item = request.node
    folders = {folder.name for folder in item.path.parents}
    if folders & FOLDERS and item.get_closest_marker("draws_figures") is None:
        from switchhead_lab.reporting.figures import style

        monkeypatch.setattr(style, "_saved", _titles)


def _titles(figure: "Figure", kind: str) -> bytes:
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    return f"{kind}: {figure.get_suptitle()}{titles}".encode()
