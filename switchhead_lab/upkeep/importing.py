"""Importing a run: a foreign directory or archive is checked, then copied into the workspace."""

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.config.names import is_entry_name
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.atomic import (
    make_directory,
    reported,
    sync_directory,
    temporary_path,
)
from switchhead_lab.tracking.file_names import RESULT_FILE
from switchhead_lab.tracking.liveness import hold_run
from switchhead_lab.tracking.record import find_directory
from switchhead_lab.tracking.run_files import LOCAL_FILES
from switchhead_lab.tracking.superseded import set_aside
from switchhead_lab.tracking.unsynced import mark_unsynced
from switchhead_lab.upkeep.archive import Limits, copy_in, write_note
from switchhead_lab.upkeep.data_checks import DataChecks
from switchhead_lab.upkeep.run_checks import check_run, run_hash_of

_MOST_SHOWN = 5


@dataclass(frozen=True)
class Imported:
    """A run that was imported.

    Attributes:
        directory: Its directory in the workspace.
        is_new: False if the workspace had the same run already, and nothing was changed.
        n_checks: Checks that passed.
        unchecked: What could not be checked.
    """

    directory: Path
    is_new: bool
    n_checks: int
    unchecked: list[str]


def import_run(workspace: Workspace, source: Path, limits: Limits) -> Imported:
    """Copy a foreign run into the workspace, after all checks of `lab verify`.

    No code of the run is loaded; a plugin has to be in lab.toml. Only regular files with plain
    names are copied, under a temporary name until all checks have passed.

    Args:
        workspace: The workspace.
        source: Directory of the run, or an archive with it.
        limits: What to accept.

    Raises:
        RecordError: If a check fails, or the workspace has a different run of this identity.
        RunBusyError: If a process is training the run here.
        StorageError: If the disk refuses the write; nothing is imported.
        WorkspaceError: If the runs folder cannot be written.
    """
    if not source.exists():
        raise RecordError(f"{source}: no such file; give a run's directory or its archive")
    runs_dir = make_directory(workspace.runs_dir)
    if source.is_dir() and source.resolve().is_relative_to(runs_dir.resolve()):
        raise RecordError(f"{source}: is in the workspace already; see `lab runs list`")
    temporary = temporary_path(runs_dir / "import")
    try:
        name = copy_in(source, temporary, limits)
        if not is_entry_name(name):
            raise RecordError(f"{source}: {name!r} is not the name of a run")
        copy = Copy(temporary, name, str(source), source.resolve().name)
        return adopt(workspace, copy, mark="imported; not copied to MLflow yet")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class Copy:
    """A copy of a foreign run under a temporary name in the runs folder.

    Attributes:
        directory: The copy.
        name: Name of the run.
        source: Where it was copied from, for messages.
        noted: The same for the run's directory, which others may see.
    """

    directory: Path
    name: str
    source: str
    noted: str


def adopt(
    workspace: Workspace, copy: Copy, *, mark: str = "", replaces_unfinished: bool = False
) -> Imported:
    """Make a copy a run of the workspace, after all checks of `lab verify`.

    Args:
        workspace: The workspace.
        copy: The copy; the caller removes its directory if it is still there.
        mark: Text of the mark that MLflow lacks the run; empty without one.
        replaces_unfinished: Whether a run of this identity without a result is set aside.

    Raises:
        RecordError: If a check fails, or the workspace has a different run of this identity.
        RunBusyError: If a process is training the run here.
        StorageError: If the disk refuses a write.
    """
    n_checks, unchecked = _require_intact(workspace, copy)
    run_hash = run_hash_of(copy.directory)
    assert run_hash is not None, "an intact run has a configuration"
    with hold_run(workspace.runs_dir, run_hash):
        known = find_directory(workspace.runs_dir, run_hash)
        if known is not None and replaces_unfinished and not (known / RESULT_FILE).is_file():
            set_aside(known)
            known = None
        if known is not None:
            _require_same(copy, known)
            return Imported(known, False, n_checks, unchecked)
        target = workspace.runs_dir / copy.name
        _move_in(copy, target, mark if workspace.tracking_uri != "none" else "")
    return Imported(target, True, n_checks, unchecked)


def _require_intact(workspace: Workspace, copy: Copy) -> tuple[int, list[str]]:
    """Check a copied run; return how many checks passed, and what could not be checked.

    Raises:
        RecordError: If a check fails; the message has the first few.
    """
    checks = check_run(copy.directory, DataChecks(workspace.data_dir), name=copy.name)
    if not checks.failures:
        return checks.n_checks, checks.unchecked
    lines = [f"  {one.path}: {one.fault}" for one in checks.failures[:_MOST_SHOWN]]
    if (n_more := len(checks.failures) - _MOST_SHOWN) > 0:
        lines.append(f"  and {n_more} more")
    text = "\n".join(lines).replace(str(copy.directory), copy.name)
    raise RecordError(
        f"{copy.source}: not imported: {len(checks.failures)} of {checks.n_checks} checks failed\n"
        f"{text}\nrun `lab verify` where it was trained; a plugin has to be in `plugins` of "
        "lab.toml, so read its file first"
    )


def _require_same(copy: Copy, known: Path) -> None:
    """Check that the workspace's run has every file of a copy.

    Raises:
        RecordError: If it does not.
    """
    for path in sorted(path for path in copy.directory.rglob("*") if path.is_file()):
        name = path.relative_to(copy.directory)
        if name.as_posix() in LOCAL_FILES:
            continue
        if not (known / name).is_file() or _digest(known / name) != _digest(path):
            raise RecordError(
                f"{copy.source}: not imported: {known} is another run of the same configuration, "
                f"its {name} differs; move that directory away to import this one"
            )


def _move_in(copy: Copy, target: Path, mark: str) -> None:
    if target.exists() or target.is_symlink():
        raise RecordError(
            f"{target}: exists and is another run; move it away to import {copy.source}"
        )
    note = {"source": copy.noted, "time": time.time()}
    write_note(copy.directory, json.dumps(note, indent=2) + "\n")
    if mark:
        mark_unsynced(copy.directory, mark)
    with reported(target):
        copy.directory.rename(target)
        sync_directory(target.parent)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
