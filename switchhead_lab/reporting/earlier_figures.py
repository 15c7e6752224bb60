"""Figures of an earlier report, reused while nothing that they show has changed."""

import hashlib
import importlib.metadata
import json
from functools import cache
from pathlib import Path
from typing import Any

from switchhead_lab.reporting.figure_layout import FORMATS

KEY = "figures"
"""Key of the figures' identities in the provenance of a report."""
_CODE = ("figure_layout.py", "labels.py", "pareto.py", "tradeoff.py", "figures/*.py")


class EarlierFigures:
    """The figures in a report's folder, by the identities in its provenance."""

    def __init__(self, folder: Path, provenance: str) -> None:
        """Read the provenance of an earlier report; without one, or if damaged, it has no figures.

        Args:
            folder: The report's folder; need not exist.
            provenance: Name of its file with the provenance.
        """
        self._folder = folder
        try:
            self._known: Any = json.loads((folder / provenance).read_bytes())
        except (OSError, ValueError):
            self._known = {}

    def find(self, name: str, identity: str) -> dict[str, bytes] | None:
        """Return the files of a figure; None unless they are unchanged and show the same.

        Args:
            name: Name of its files, without suffix.
            identity: Identity of what it shows; see `figure_identity`.
        """
        try:
            if self._known[KEY][name] != identity:
                return None
            files = {f"{name}.{end}": self._read(f"{name}.{end}") for end in FORMATS}
            hashes = {one: hashlib.sha256(data).hexdigest() for one, data in files.items()}
            return files if hashes.items() <= self._known["files"].items() else None
        except (AttributeError, KeyError, TypeError, OSError):
            return None

    def _read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()


def figure_identity(*shown: object) -> str:
    """Return the identity of a figure: of what it shows, and of the code that draws it."""
    text = repr((shown, _code()))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _code() -> tuple[str, ...]:
    folder = Path(__file__).parent
    sources = sorted(path for pattern in _CODE for path in folder.glob(pattern))
    hashes = (hashlib.sha256(path.read_bytes()).hexdigest() for path in sources)
    return (importlib.metadata.version("matplotlib"), *hashes)
