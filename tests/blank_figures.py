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
        from matplotlib.figure import Figure

        from switchhead_lab.reporting.figures import style, tradeoff

        monkeypatch.setattr(style, "_saved", _titles)
        # Only labels need the layout, and titles are not labels.
        monkeypatch.setattr(Figure, "draw_without_rendering", lambda _figure: None)
        monkeypatch.setattr(tradeoff, "_add_labels", lambda *_arguments: None)


def _titles(figure: "Figure", kind: str) -> bytes:
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    return f"{kind}: {figure.get_suptitle()}{titles}".encode()
