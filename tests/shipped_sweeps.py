"""The sweeps of the project: those with recorded identities, not a user's own beside them."""

import atexit
import json
import shutil
import tempfile
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "sweeps"
_RECORDED = Path(__file__).with_name("golden") / "identities.json"
_NAMES = json.loads(_RECORDED.read_text(encoding="utf-8"))
SHIPPED = [_FOLDER / name for name in _NAMES]
"""Paths of the sweep files; `pytest tests/golden --regenerate-golden` adds new ones."""


def _copy_shipped() -> Path:
    """Copy the sweep files and the bases that they extend; a user's own files stay out."""
    folder = Path(tempfile.mkdtemp(prefix="shipped-sweeps-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for path in (*SHIPPED, *_FOLDER.rglob("_*.toml")):
        copy = folder / path.relative_to(_FOLDER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return folder


SWEEPS = _copy_shipped()
"""A folder with the project's sweep files alone."""
