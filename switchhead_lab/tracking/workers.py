"""The workers of a sweep: which processes share its runs, and which of them are alive.

runs/sweeps/<sweep>/workers/<worker>.json, and beside it a lock that the worker holds until its
process ends. The system releases the lock of a killed process, so liveness needs no clock; the
time of the last heartbeat only reveals suspended processes.
"""

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from filelock import FileLock, Timeout

from switchhead_lab.errors import RecordError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.atomic import make_directory, reported, write_text
from switchhead_lab.tracking.record_files import read_model

SUSPENDED_SECONDS = 60.0
"""Without a heartbeat for this long, a worker is suspended or its machine is overloaded."""
_DIR, _STOP_FILE = "workers", ".stop"
_HEARTBEAT_SECONDS = 5.0


class Heard(NamedTuple):
    """What a worker learns at a heartbeat.

    Attributes:
        is_alive: Whether it still counts as alive.
        is_stopping: Whether the workers are asked to end.
    """

    is_alive: bool
    is_stopping: bool


class WorkerRecord(FrozenModel):
    """A process that trains runs of a sweep."""

    worker_id: str
    """Host, PID and random digits."""
    host: str
    """Name of its host."""
    pid: int
    """Its process on that host."""
    started_at: float
    """Seconds since 1970."""
    facts: dict[str, Any] = {}
    """What its runs depend on: code, versions, device, threads, data and declaration."""


class WorkerState(FrozenModel):
    """A live worker as others see it."""

    record: WorkerRecord
    """What it wrote of itself."""
    silent_seconds: float
    """Time since its last heartbeat, s."""

    @property
    def is_suspended(self) -> bool:
        """Whether its heartbeats have stopped."""
        return self.silent_seconds > SUSPENDED_SECONDS


def new_worker(facts: Mapping[str, Any]) -> WorkerRecord:
    """Return the record of this process as a worker."""
    host, pid = socket.gethostname(), os.getpid()
    return WorkerRecord(
        worker_id=f"{host}-{pid}-{secrets.token_hex(2)}",
        host=host,
        pid=pid,
        started_at=time.time(),
        facts=dict(facts),
    )


class WorkerRegistry(Protocol):
    """The workers of one sweep."""

    def joined(self, facts: Mapping[str, Any]) -> AbstractContextManager[WorkerRecord]:
        """Be a worker of the sweep in the block; call it under the sweep's lock."""

    @property
    def heartbeat_seconds(self) -> float:
        """Time between a worker's heartbeats."""

    def beat(self, worker_id: str) -> Heard:
        """Record a heartbeat."""

    def alive(self) -> list[WorkerState]:
        """Return the live workers, the longest-running first."""

    def alive_ids(self) -> set[str]:
        """Return the ids of the live workers."""

    def request_stop(self) -> None:
        """Ask all workers to save a checkpoint and end."""

    def withdraw_stop(self) -> None:
        """Withdraw the request to stop."""

    @property
    def is_stop_requested(self) -> bool:
        """Whether the workers are asked to end."""


class Workers:
    """The workers of one sweep, on machines that share its directory.

    Args:
        sweep_path: The sweep's directory.
    """

    def __init__(self, sweep_path: Path) -> None:
        self._path = sweep_path / _DIR
        self._stop_path = self._path / _STOP_FILE

    @contextlib.contextmanager
    def joined(self, facts: Mapping[str, Any]) -> Iterator[WorkerRecord]:
        """Be a worker of the sweep in the block; call it under the sweep's lock.

        Raises:
            StorageError: If the disk refuses the files.
        """
        worker = new_worker(facts)
        make_directory(self._path)
        lock = self._lock(worker.worker_id)
        with reported(self._path):
            lock.acquire()
        try:
            write_text(self._file(worker.worker_id), worker.model_dump_json(indent=2) + "\n")
            yield worker
        finally:
            with contextlib.suppress(OSError):
                self._file(worker.worker_id).unlink(missing_ok=True)
                Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    @property
    def heartbeat_seconds(self) -> float:
        """Time between heartbeats."""
        return _HEARTBEAT_SECONDS

    def beat(self, worker_id: str) -> Heard:
        """Record a heartbeat; errors of the disk are ignored."""
        is_alive = True
        try:
            os.utime(self._file(worker_id))
        except FileNotFoundError:
            is_alive = False
        except OSError:
            pass
        return Heard(is_alive, self.is_stop_requested)

    def is_alive(self, worker_id: str) -> bool:
        """Return whether the process of a worker still exists."""
        if not self._file(worker_id).is_file():
            return False
        lock = self._lock(worker_id)
        try:
            with lock:
                return False
        except (Timeout, PermissionError):
            return True

    def alive(self) -> list[WorkerState]:
        """Return the live workers, the longest-running first; remove what killed ones left."""
        found = []
        for path in self._path.glob("*.json"):
            if not self.is_alive(path.stem):
                path.unlink(missing_ok=True)
                Path(self._lock(path.stem).lock_file).unlink(missing_ok=True)
                continue
            with contextlib.suppress(RecordError, OSError):
                silent = max(0.0, time.time() - path.stat().st_mtime)
                found.append(
                    WorkerState(record=read_model(WorkerRecord, path), silent_seconds=silent)
                )
        return sorted(found, key=lambda worker: worker.record.started_at)

    def alive_ids(self) -> set[str]:
        """Return the ids of the live workers."""
        return {worker.record.worker_id for worker in self.alive()}

    def request_stop(self) -> None:
        """Ask all workers to save a checkpoint and end.

        Raises:
            StorageError: If the disk refuses the request's file.
        """
        make_directory(self._path)
        write_text(self._stop_path, "")

    def withdraw_stop(self) -> None:
        """Withdraw the request to stop."""
        self._stop_path.unlink(missing_ok=True)

    @property
    def is_stop_requested(self) -> bool:
        """Whether the workers are asked to end."""
        return self._stop_path.is_file()

    def _file(self, worker_id: str) -> Path:
        return self._path / f"{worker_id}.json"

    def _lock(self, worker_id: str) -> FileLock:
        return FileLock(self._path / f".{worker_id}.lock", timeout=0)
