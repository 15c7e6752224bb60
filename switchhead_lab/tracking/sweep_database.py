"""Records and workers of sweeps in a PostgreSQL database, for workers on hosts without shared disk.

The schema `lab` has one row per sweep, locked during each update, and one row per worker with its
last heartbeat by the database's clock. When heartbeats stop, the worker's row is deleted, other
workers can take over its run, and its later updates are rejected.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
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
    growing_pauses,
    is_lock_timeout,
    patiently,
    query,
    reported_faults,
)
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.tracking.workers import Heard, WorkerRecord, WorkerState, new_worker

# The server ends the transaction of a process that was suspended within it, and frees the lock.
_IDLE_SECONDS = 60
_CONNECT_SECONDS = 5
_MOST_HEARTBEAT_SECONDS = 15.0
_N_BEATS = 4
# How long a worker that waits for the sweep's lock keeps its connection, and waits without one.
# Hundreds of them would otherwise do little but connect.
_LOCK_SECONDS = 2
_MOST_PAUSE_SECONDS = 30.0


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
        self.workers = DatabaseWorkers(engine, path, vanished_seconds, lambda: self._transaction)
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

    def _begin(self) -> Connection:
        """Take the lock, in turns with the workers that wait for it.

        A server has far fewer connections than a sweep may have workers, and heartbeats need them
        too, so none is held for long by a worker that only waits.
        """
        pauses = growing_pauses(_MOST_PAUSE_SECONDS)
        while True:
            connection = self._try_to_begin()
            if connection is not None:
                return connection
            time.sleep(next(pauses))

    @patiently
    def _try_to_begin(self) -> Connection | None:
        connection = self._engine.connect()
        try:
            values = {"id": self.path.name}
            connection.execute(
                text(
                    f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'; "
                    f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"
                )
            )
            connection.execute(
                text(f"INSERT INTO {SCHEMA}.sweeps (id) VALUES (:id) ON CONFLICT DO NOTHING"),
                values,
            )
            connection.execute(
                text(f"SELECT id FROM {SCHEMA}.sweeps WHERE id = :id FOR UPDATE"), values
            )
        except DBAPIError as error:
            connection.close()
            if is_lock_timeout(error):
                return None
            raise
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
        """Read the record; this host's copy stays as it is.

        Raises:
            RecordError: If it is missing or damaged.
        """
        row = self._row("record")
        if row is None or row[0] is None:
            raise RecordError(f"sweep {self.path.name}: not in the database of lab.toml")
        return _parsed(self.path.name, row[0])

    def read_known(self) -> SweepRecord | None:
        """Read the record; None if the sweep was never run."""
        return None if self.version is None else self.read()

    def write(self, record: SweepRecord) -> None:
        """Write the record; the caller must hold the lock. This host's copy stays as it is."""
        assert self._transaction is not None, "the lock is held"
        statement = (
            f"UPDATE {SCHEMA}.sweeps SET record = :record, version = version + 1 WHERE id = :id"
        )
        values = {"id": self.path.name, "record": record.model_dump_json()}
        with reported_faults():
            self._transaction.execute(text(statement), values)

    def keep_copy(self, record: SweepRecord) -> None:
        """Write a record to this host's copy, which reports read."""
        super().write(record)

    def forget(self) -> None:
        """Remove the sweep and its workers from the database."""
        for table, column in (("workers", "sweep"), ("stops", "sweep"), ("sweeps", "id")):
            statement = f"DELETE FROM {SCHEMA}.{table} WHERE {column} = :id"
            execute(self._engine, statement, id=self.path.name)

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
        transaction: Returns the connection of this process that holds the sweep's lock, if any.
    """

    def __init__(
        self,
        engine: Engine,
        sweep_path: Path,
        vanished_seconds: float,
        transaction: Callable[[], Connection | None],
    ) -> None:
        self._engine, self._sweep = engine, sweep_path.name
        self._vanished_seconds, self._transaction = vanished_seconds, transaction

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

    @property
    def heartbeat_seconds(self) -> float:
        """Time between heartbeats, each of which needs a connection of its own."""
        return min(_MOST_HEARTBEAT_SECONDS, self._vanished_seconds / 6)

    def beat(self, worker_id: str) -> Heard:
        """Record a heartbeat; errors of the database are ignored."""
        statement = text(
            f"UPDATE {SCHEMA}.workers SET seen = now() WHERE id = :id "
            f"RETURNING EXISTS (SELECT 1 FROM {SCHEMA}.stops WHERE sweep = :sweep)"
        )
        values = {"id": worker_id, "sweep": self._sweep}
        # Repeated, since a busy server may refuse a connection.
        for pause in (0.0, *itertools.islice(growing_pauses(), _N_BEATS - 1)):
            time.sleep(pause)
            try:
                with self._engine.begin() as connection:
                    is_stopping = connection.execute(statement, values).scalar_one_or_none()
                return Heard(is_alive=is_stopping is not None, is_stopping=bool(is_stopping))
            except DBAPIError:
                continue
        return Heard(is_alive=True, is_stopping=False)

    def alive(self) -> list[WorkerState]:
        """Return the live workers, the longest-running first."""
        found = [
            WorkerState(
                record=WorkerRecord.model_validate_json(record), silent_seconds=max(0.0, silent)
            )
            for _, silent, record in self._heard("record")
        ]
        return sorted(found, key=lambda worker: worker.record.started_at)

    def alive_ids(self) -> set[str]:
        """Return the ids of the live workers, which takes far less time than their records."""
        return {worker_id for worker_id, _, _ in self._heard("NULL")}

    def _heard(self, column: str) -> list[tuple[str, float, Any]]:
        """Return id, time since the last heartbeat and a column of each live worker.

        Rows of workers whose heartbeats have stopped are deleted.
        """
        # No heartbeat arrives while the server is down, so the timeout starts at its restart.
        statement = (
            "SELECT id, extract(epoch FROM clock_timestamp() - greatest(seen, "
            f"pg_postmaster_start_time())), {column} FROM {SCHEMA}.workers WHERE sweep = :sweep"
        )
        transaction = self._transaction()
        if transaction is None:
            rows = query(self._engine, statement, sweep=self._sweep)
        else:  # others wait meanwhile, so without another connection
            with reported_faults():
                found = transaction.execute(text(statement), {"sweep": self._sweep})
                rows = [tuple(row) for row in found]
        heard = []
        for worker_id, silent, value in rows:
            if silent <= self._vanished_seconds:
                heard.append((worker_id, float(silent), value))
            else:
                self._remove(worker_id)
        return heard

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

    def _remove(self, worker_id: str) -> None:
        execute(self._engine, f"DELETE FROM {SCHEMA}.workers WHERE id = :id", id=worker_id)
