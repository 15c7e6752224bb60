"""The identity of a workspace: kept when it is moved, new for a copy.

On a tracking server shared by several workspaces, it identifies the owner of an experiment.
"""

import json
import uuid
from pathlib import Path
from typing import Any

from switchhead_lab.tracking.atomic import make_directory, write_text

FILE_NAME = ".workspace.json"


def workspace_id(runs_dir: Path) -> str:
    """Return the id of the workspace that a runs folder belongs to, created on first use."""
    place = str(runs_dir.resolve())
    known = _read(runs_dir)
    is_copy = known is not None and known["runs_dir"] != place and _holds(known)
    if known is None or is_copy:
        known = {"id": uuid.uuid4().hex, "runs_dir": ""}
    if known["runs_dir"] != place:
        known = {**known, "runs_dir": place}
        write_text(make_directory(runs_dir) / FILE_NAME, json.dumps(known) + "\n")
    return known["id"]


def _holds(known: dict[str, str]) -> bool:
    """Return whether the recorded folder still holds the workspace of this id."""
    original = _read(Path(known["runs_dir"]))
    return original is not None and original["id"] == known["id"]


def _read(runs_dir: Path) -> dict[str, str] | None:
    try:
        values: Any = json.loads((runs_dir / FILE_NAME).read_text(encoding="utf-8"))
        return {"id": str(values["id"]), "runs_dir": str(values["runs_dir"])}
    except (OSError, ValueError, LookupError, TypeError):
        return None
