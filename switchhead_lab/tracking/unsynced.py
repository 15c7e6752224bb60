"""The mark of run and sweep directories that MLflow may lack (does not import MLflow)."""

import contextlib
from pathlib import Path

from switchhead_lab.errors import LabError
from switchhead_lab.tracking.file_names import UNSYNCED_FILE

# Listings ask for marks; record schemas take longer to import than a whole listing.


def is_unsynced(directory: Path) -> bool:
    """Return whether a directory is marked: every attempt marks, a verified copy clears."""
    return (directory / UNSYNCED_FILE).is_file()


def mark_unsynced(directory: Path, reason: str) -> None:
    """Mark a directory; ignore write errors, which the training process reports itself."""
    with contextlib.suppress(OSError):
        (directory / UNSYNCED_FILE).write_text(reason.strip() + "\n", encoding="utf-8")


def read_mark(directory: Path) -> str | None:
    """Return the text of a directory's mark; None without a mark."""
    try:
        return (directory / UNSYNCED_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def clear_mark(directory: Path, seen: str | None) -> None:
    """Remove a directory's mark unless it has changed since `seen` was read."""
    if seen is not None and read_mark(directory) == seen:
        (directory / UNSYNCED_FILE).unlink(missing_ok=True)


def unsynced_members(directory: Path) -> list[Path]:
    """Return the directories of a sweep's marked runs that no process is training.

    Args:
        directory: The sweep's directory; unreadable runs or records are skipped.
    """
    from switchhead_lab.tracking.sweep_dir import SweepDir
    from switchhead_lab.tracking.sweep_record import SweepMember

    sweep, members = SweepDir(directory), list[SweepMember]()
    with contextlib.suppress(LabError):
        members = sweep.read().members
    run_dirs = dict.fromkeys(sweep.run_dir(member) for member in members)
    return [run_dir for run_dir in run_dirs if is_unsynced(run_dir) and _can_be_copied(run_dir)]


def unsynced_notice(runs_dir: Path) -> str | None:
    """Return one line with the number of runs that MLflow may lack; None if there are none.

    Runs in progress are not counted: their copy is completed at their end.
    """
    count = sum(_can_be_copied(mark.parent) for mark in runs_dir.glob(f"*/{UNSYNCED_FILE}"))
    if not count:
        return None
    runs = "1 run is" if count == 1 else f"{count} runs are"
    return f"{runs} not in MLflow yet: lab runs sync"


def _can_be_copied(run_dir: Path) -> bool:
    """Return whether a run can be read and is not in progress."""
    from switchhead_lab.tracking.liveness import observed_state
    from switchhead_lab.tracking.record import read_run

    try:
        return observed_state(read_run(run_dir)) != "running"
    except LabError:  # listings report damaged runs
        return False
