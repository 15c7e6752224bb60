"""The directory of a sweep's record.

runs/sweeps/<sweep>-<size>-<hash8>/sweep.json
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.atomic import make_directory, remove_temporaries, write_text
from switchhead_lab.tracking.record import warn_of_damage
from switchhead_lab.tracking.record_files import read_model
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord, sweep_id
from switchhead_lab.tracking.workers import WorkerRegistry, Workers

_RECORD_FILE = "sweep.json"
_LOCK_FILE = ".lock"
# A worker holds the lock for a step of the plan; matching a large search space takes longest.
_LOCK_SECONDS = 600.0


def sweeps_dir(runs_dir: Path) -> Path:
    """Return the folder of all sweep directories."""
    return runs_dir / "sweeps"


class SweepDir:
    """The directory of one sweep; may not exist yet.

    Attributes:
        path: The directory.
        workers: The processes that share the sweep's runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.workers: WorkerRegistry = Workers(path)
        self._lock = FileLock(path / _LOCK_FILE, timeout=_LOCK_SECONDS)

    @classmethod
    def of(cls, runs_dir: Path, sweep: Sweep) -> "SweepDir":
        """Return the directory of a sweep."""
        return cls(sweeps_dir(runs_dir) / sweep_id(sweep))

    @property
    def record_path(self) -> Path:
        """Path of the record."""
        return self.path / _RECORD_FILE

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the directory and hold the sweep's lock in the block, which may be nested.

        Workers hold it only while they read and change the record, never during training.

        Raises:
            RecordError: If another process does not release it.
        """
        make_directory(self.path)
        try:
            self._lock.acquire()
        except Timeout:
            raise RecordError(
                f"sweep {self.path.name}: locked by another process for {_LOCK_SECONDS / 60:.0f} "
                f"minutes ({self._lock.lock_file}); it may be suspended: continue or kill it"
            ) from None
        try:
            yield
        finally:
            self._lock.release()

    @property
    def version(self) -> object:
        """What changes with every write of the record; None if the sweep was never run."""
        try:
            found = self.record_path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> SweepRecord:
        """Read the record.

        Raises:
            RecordError: If it is missing or damaged.
        """
        return read_model(SweepRecord, self.record_path)

    def read_known(self) -> SweepRecord | None:
        """Read the record; None if the sweep was never run.

        Raises:
            RecordError: If it is damaged.
        """
        return self.read() if self.record_path.is_file() else None

    def write(self, record: SweepRecord) -> None:
        """Write the record atomically.

        Also removes what killed processes left, so the caller must hold the sweep's lock.
        """
        make_directory(self.path)
        remove_temporaries(self.path, re.escape(_RECORD_FILE))
        write_text(self.record_path, record.model_dump_json(indent=2) + "\n")

    def keep_copy(self, record: SweepRecord) -> None:
        """Keep a copy of a record that is elsewhere, under the sweep's lock; here it is not."""

    def run_dir(self, member: SweepMember) -> Path:
        """Return the directory of one of the sweep's runs."""
        return self.path.parents[1] / member.run_name


def list_sweep_records(runs_dir: Path) -> Iterator[SweepRecord]:
    """Yield all sweep records, the most recently changed first.

    Unreadable ones are skipped with a warning on stderr.
    """
    records = []
    for path in sorted(sweeps_dir(runs_dir).glob(f"*/{_RECORD_FILE}")):
        try:
            records.append(SweepDir(path.parent).read())
        except RecordError as error:
            warn_of_damage(error)
    yield from sorted(records, key=lambda record: record.updated_at, reverse=True)
