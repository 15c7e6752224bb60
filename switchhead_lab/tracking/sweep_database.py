"""Records and workers of sweeps in a PostgreSQL database, for workers on hosts without shared disk.

The schema `lab` has one row per sweep, locked during each update, and one row per worker with its
last heartbeat by the database's clock. When heartbeats stop, the worker's row is deleted, other
workers can take over its run, and its later updates are rejected.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from switchhead_lab.config.names import is_entry_name
from switchhead_lab.errors import DatabaseDownError, RecordError, StorageError
from switchhead_lab.tracking.database_server import (
    SCHEMA,
    execute,
    patiently,
    query,
    reported_faults,
)
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.tracking.workers import WorkerRecord, WorkerState, new_worker

# The server ends the transaction of a process that was suspended within it, and frees the lock.
_IDLE_SECONDS = 60
_CONNECT_SECONDS = 5


class DatabaseSweepDir(SweepDir):
    """A sweep whose record is in a database; its directory on this host holds a copy.

    Args:
        path: The sweep's directory on this host.
        engine: The database.
        vanished_seconds: Heartbeat timeout of workers, s.
    """

    def __init__(self, path: Path, engine: Engine, vanished_seconds: float) -> None:
        super().__init__(path)
        self._engine = engine
        self.workers = DatabaseWorkers(engine, path, vanished_seconds)
        self._transaction: Connection | None = None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the sweep's row in the block, which may be nested.

        Raises:
            StorageError: If the database does not answer.
        """
        with super().locked(), contextlib.ExitStack() as stack:
            if self._transaction is None:
                self._transaction = self._begin()
                stack.callback(self._end)
            yield

    @patiently
    def _begin(self) -> Connection:
        connection = self._engine.connect()
        try:
            connection.execute(
                text(f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
            )
            connection.execute(
                text(f"INSERT INTO {SCHEMA}.sweeps (id) VALUES (:id) ON CONFLICT DO NOTHING"),
                {"id": self.path.name},
            )
            connection.execute(
                text(f"SELECT id FROM {SCHEMA}.sweeps WHERE id = :id FOR UPDATE"),
                {"id": self.path.name},
            )
        except BaseException:
            connection.close()
            raise
        return connection

    def _end(self) -> None:
        """Keep what was written, also if an error ended the block: each write is complete."""
        connection, self._transaction = self._transaction, None
        assert connection is not None, "called once, at the end of the outermost block"
        try:
            if connection.invalidated:
                raise DatabaseDownError(
                    "the database of lab.toml closed the connection during a change of the sweep's "
                    "record, which is as it was before; run the same command again"
                )
            with reported_faults():
                connection.commit()
        finally:
            connection.close()

    @property
    def version(self) -> object:
        """What changes with every write of the record; None if the sweep was never run."""
        row = self._row("version, record IS NULL")
        return None if row is None or row[1] else row[0]

    def read(self) -> SweepRecord:
        """Read the record, and refresh the copy on this host.

        Raises:
            RecordError: If it is missing or damaged.
        """
        row = self._row("record")
        if row is None or row[0] is None:
            raise RecordError(f"sweep {self.path.name}: not in the database of lab.toml")
        record = SweepRecord.model_validate_json(row[0])
        with super().locked():
            super().write(record)
        return record

    def read_known(self) -> SweepRecord | None:
        """Read the record; None if the sweep was never run."""
        return None if self.version is None else self.read()

    def write(self, record: SweepRecord) -> None:
        """Write the record and its copy on this host; the caller must hold the lock."""
        assert self._transaction is not None, "the lock is held"
        statement = (
            f"UPDATE {SCHEMA}.sweeps SET record = :record, version = version + 1 WHERE id = :id"
        )
        values = {"id": self.path.name, "record": record.model_dump_json()}
        with reported_faults():
            self._transaction.execute(text(statement), values)
        super().write(record)

    def _row(self, columns: str) -> Any:
        statement = f"SELECT {columns} FROM {SCHEMA}.sweeps WHERE id = :id"
        if self._transaction is not None:
            with reported_faults():
                rows = self._transaction.execute(text(statement), {"id": self.path.name})
                return rows.one_or_none()
        return next(iter(query(self._engine, statement, id=self.path.name)), None)


def refresh_copies(address: str, sweeps_dir: Path) -> None:
    """Refresh this host's copies of the records of all sweeps; the database is asked once.

    Args:
        address: The database.
        sweeps_dir: Folder of the sweeps on this host.

    Raises:
        StorageError: If the database does not answer, or a copy cannot be written.
        RecordError: If a record is damaged.
    """
    engine = create_engine(
        address, poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_SECONDS}
    )
    with reported_faults(), engine.connect() as connection:
        if connection.scalar(text(f"SELECT to_regclass('{SCHEMA}.sweeps')")) is None:
            return
        statement = f"SELECT id, record FROM {SCHEMA}.sweeps WHERE record IS NOT NULL"
        rows = connection.execute(text(statement)).all()
    for name, stored in rows:
        if not is_entry_name(name):
            raise RecordError(f"database of lab.toml: {name!r} is not the id of a sweep")
        directory, record = SweepDir(sweeps_dir / name), _parsed(name, stored)
        with contextlib.suppress(RecordError):
            if directory.read_known() == record:
                continue
        with directory.locked():
            directory.write(record)


def _parsed(name: str, stored: str) -> SweepRecord:
    try:
        return SweepRecord.model_validate_json(stored)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise RecordError(
            f"sweep {name}: its record in the database is damaged: {reason}"
        ) from None


class DatabaseWorkers:
    """The workers of one sweep, on any hosts.

    Args:
        engine: The database.
        sweep_path: The sweep's directory on this host.
        vanished_seconds: Heartbeat timeout of workers, s.
    """

    def __init__(self, engine: Engine, sweep_path: Path, vanished_seconds: float) -> None:
        self._engine, self._sweep = engine, sweep_path.name
        self._vanished_seconds = vanished_seconds

    @contextlib.contextmanager
    def joined(self, facts: Mapping[str, Any]) -> Iterator[WorkerRecord]:
        """Be a worker of the sweep in the block."""
        worker = new_worker(facts)
        execute(
            self._engine,
            f"INSERT INTO {SCHEMA}.workers (id, sweep, record) VALUES (:id, :sweep, :record)",
            id=worker.worker_id,
            sweep=self._sweep,
            record=worker.model_dump_json(),
        )
        try:
            yield worker
        finally:
            with contextlib.suppress(StorageError):
                self._remove(worker.worker_id)

    def beat(self, worker_id: str) -> bool:
        """Record a heartbeat; return False if the worker was declared dead.

        Errors of the database are ignored.
        """
        statement = text(f"UPDATE {SCHEMA}.workers SET seen = now() WHERE id = :id")
        try:
            with self._engine.begin() as connection:
                return connection.execute(statement, {"id": worker_id}).rowcount > 0
        except DBAPIError:
            return True

    def alive(self) -> list[WorkerState]:
        """Return the live workers, the longest-running first."""
        # No heartbeat arrives while the server is down, so the timeout starts at its restart.
        rows = query(
            self._engine,
            "SELECT id, record, extract(epoch FROM now() - greatest(seen, "
            f"pg_postmaster_start_time())) FROM {SCHEMA}.workers WHERE sweep = :sweep",
            sweep=self._sweep,
        )
        found = [
            WorkerState(
                record=WorkerRecord.model_validate_json(record),
                silent_seconds=max(0.0, float(silent)),
            )
            for worker_id, record, silent in rows
            if self._is_heard(worker_id, float(silent))
        ]
        return sorted(found, key=lambda worker: worker.record.started_at)

    def request_stop(self) -> None:
        """Ask all workers to save a checkpoint and end."""
        execute(
            self._engine,
            f"INSERT INTO {SCHEMA}.stops (sweep) VALUES (:sweep) ON CONFLICT DO NOTHING",
            sweep=self._sweep,
        )

    def withdraw_stop(self) -> None:
        """Withdraw the request to stop."""
        execute(self._engine, f"DELETE FROM {SCHEMA}.stops WHERE sweep = :sweep", sweep=self._sweep)

    @property
    def is_stop_requested(self) -> bool:
        """Whether the workers are asked to end; False while the database does not answer."""
        statement = text(f"SELECT 1 FROM {SCHEMA}.stops WHERE sweep = :sweep")
        try:
            with self._engine.connect() as connection:
                return connection.execute(statement, {"sweep": self._sweep}).first() is not None
        except DBAPIError:
            return False

    def _is_heard(self, worker_id: str, silent_seconds: float) -> bool:
        """Return whether a worker is alive; delete its row if its heartbeats have stopped."""
        if silent_seconds <= self._vanished_seconds:
            return True
        self._remove(worker_id)
        return False

    def _remove(self, worker_id: str) -> None:
        execute(self._engine, f"DELETE FROM {SCHEMA}.workers WHERE id = :id", id=worker_id)
