"""The sweeps of the project: those with recorded identities, not a user's own beside them."""

import json
from pathlib import Path

SWEEPS = Path(__file__).parents[1] / "sweeps"
_RECORDED = Path(__file__).with_name("golden") / "identities.json"
SHIPPED = [SWEEPS / name for name in json.loads(_RECORDED.read_text(encoding="utf-8"))]
"""Paths of the sweep files; `pytest tests/golden --regenerate-golden` adds new ones."""
