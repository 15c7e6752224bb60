"""What killed processes left: temporary files and folders, and incomplete checkpoints."""

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import RunBusyError
from switchhead_lab.tracking.file_names import CHECKPOINTS_DIR, CONFIG_FILE
from switchhead_lab.tracking.liveness import hold_run, is_owned
from switchhead_lab.training.checkpoint import remove_leftovers
from switchhead_lab.upkeep.run_checks import run_hash_of

ABANDONED_SECONDS = 3600.0
"""Time without a change after which a temporary file is abandoned, unless a lock says so."""
# As `atomic.temporary_path` and `database_file.create_database` name them.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]+\.(tmp|new)(-\w+)?")
_TENSORS = {"tensors.safetensors"}
_EXPORTS = "exports"


def find_leftovers(workspace: Workspace) -> list[Path]:
    """Return the temporaries that no process uses any more, in order of path.

    Those in a run's directory belong to the process that holds the run's lock; others count once
    nothing in them has changed for an hour.
    """
    found = set()
    for directory in _run_directories(workspace.runs_dir):
        inside = [*_temporaries(directory), *_incomplete_checkpoints(directory)]
        run_hash = run_hash_of(directory) if inside else None
        is_free = run_hash is not None and not is_owned(workspace.runs_dir, run_hash)
        # `lab runs sync` and `lab eval` write without the lock.
        found |= {
            path
            for path in inside
            if _is_old(path) or (is_free and path.parent.name == CHECKPOINTS_DIR)
        }
    runs, data = workspace.runs_dir, workspace.data_dir
    others = [runs, *(runs / "sweeps").glob("*/"), data, *data.glob("*/"), workspace.reports_dir]
    others += [*workspace.reports_dir.glob("*/"), workspace.root / _EXPORTS]
    found |= {path for folder in others for path in _entries(folder) if _is_old(path)}
    return sorted(found)


def remove_leftover(workspace: Workspace, path: Path) -> bool:
    """Remove a leftover; return False if a process has begun to use its folder."""
    if path.parent.name != CHECKPOINTS_DIR:
        _remove(path)
        return True
    run_hash = run_hash_of(path.parents[1])
    if run_hash is None:
        return False
    try:
        with hold_run(workspace.runs_dir, run_hash):
            remove_leftovers(path.parent)
    except RunBusyError:
        return False
    return not path.exists()


def _run_directories(runs_dir: Path) -> Iterator[Path]:
    for path in sorted(runs_dir.glob("[!.]*/")):
        with suppress(OSError):
            if (path / CONFIG_FILE).is_file():
                yield path


def _temporaries(directory: Path) -> Iterator[Path]:
    """Yield the temporaries in a run's directory."""
    for folder in (directory, *sorted(directory.glob("[!.]*/")), *directory.glob("attempts/*/")):
        yield from _entries(folder)


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if _TEMPORARY.fullmatch(path.name):
                yield path


def _incomplete_checkpoints(directory: Path) -> Iterator[Path]:
    for path in sorted((directory / CHECKPOINTS_DIR).glob("step-*/")):
        with suppress(OSError):
            if {entry.name for entry in path.iterdir()} <= _TENSORS:
                yield path


def _is_old(path: Path) -> bool:
    """Return whether nothing in a file or folder has changed for an hour."""
    with suppress(OSError):
        paths = [path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())]
        return time.time() - max(p.lstat().st_mtime for p in paths) > ABANDONED_SECONDS
    return False


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
