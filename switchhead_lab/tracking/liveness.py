"""Whether a process is training a run: its owner holds its lock, which the system releases.

Clocks, PIDs and host names are unreliable: clocks step, PIDs are reused, hosts are renamed.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

from switchhead_lab.errors import RunBusyError
from switchhead_lab.tracking.atomic import write_error
from switchhead_lab.tracking.file_names import STATUS_FILE
from switchhead_lab.tracking.record import RunRecord, RunState, find_directory, read_status

# `is_owned` holds the lock briefly; an owner arriving then retries.
_ACQUIRE_SECONDS = 1.0


def run_lock(runs_dir: Path, run_hash: str) -> FileLock:
    """Return the lock whose holder may write the run with this identity.

    Args:
        runs_dir: Folder of all runs.
        run_hash: Identity of the run.
    """
    return FileLock(runs_dir / f".{run_hash[:16]}.lock", timeout=_ACQUIRE_SECONDS)


def hold_run(runs_dir: Path, run_hash: str) -> AbstractContextManager[object]:
    """Acquire the lock of a run and return it; the end of the block releases it.

    Raises:
        RunBusyError: If another process holds it.
        StorageError: If the disk refuses the lock's file.
        WorkspaceError: If the file is not writable, for example another user's in a shared folder.
    """
    lock = run_lock(runs_dir, run_hash)
    try:
        return lock.acquire()
    except Timeout:
        raise busy_error(runs_dir, run_hash) from None
    except OSError as error:
        raise write_error(Path(lock.lock_file), None, error) from None


def is_owned(runs_dir: Path, run_hash: str) -> bool:
    """Return whether a process holds a run's lock."""
    lock = FileLock(runs_dir / f".{run_hash[:16]}.lock", timeout=0)
    if not Path(lock.lock_file).is_file():
        return False
    try:
        with lock:
            return False
    except (Timeout, PermissionError):
        return True


def busy_error(runs_dir: Path, run_hash: str) -> RunBusyError:
    """Return an error that names the process training a run."""
    directory = find_directory(runs_dir, run_hash)
    status = read_status(directory) if directory is not None else None
    who = f"process {status.pid} on {status.host}" if status else "another process"
    where = directory / STATUS_FILE if directory is not None else runs_dir
    return RunBusyError(
        f"{who} is training this configuration ({where}); wait for it, or stop it and try again"
    )


def is_orphaned(record: RunRecord) -> bool:
    """Return whether a run's status is "running" although no process trains it."""
    if record.result is not None or record.status.state != "running":
        return False
    return not is_owned(record.directory.parent, record.run_hash)


def observed_state(record: RunRecord) -> RunState:
    """Return a run's state; a result takes precedence over the recorded status."""
    if record.result is not None:
        return "finished"
    return "interrupted" if is_orphaned(record) else record.status.state
