"""The PostgreSQL database of a workspace: its tables, and calls that outlast a restart."""

import contextlib
import functools
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from switchhead_lab.config.addresses import schema_of
from switchhead_lab.config.redaction import mask_passwords
from switchhead_lab.errors import DatabaseDownError, StorageError

SCHEMA = "lab"
WAIT_SECONDS = 120.0
"""Longest wait for a database that does not answer, for example while it restarts."""
_FIRST_PAUSE_SECONDS = 1.0
_TABLES = {
    "sweeps": "id text PRIMARY KEY, record text, version bigint NOT NULL DEFAULT 0",
    "stops": "sweep text PRIMARY KEY",
    "workers": "id text PRIMARY KEY, sweep text NOT NULL, record text NOT NULL, "
    "seen timestamptz NOT NULL DEFAULT now()",
}
# Any number that no other program is likely to use.
_CREATION_LOCK = 7_205_716_218
ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")


def patiently(action: Callable[ParametersT, ResultT]) -> Callable[ParametersT, ResultT]:
    """Decorate a step on the database: repeat it while the server does not answer.

    The decorated function raises `StorageError` after `WAIT_SECONDS`, and at once for other faults.
    """

    @functools.wraps(action)
    def call(*arguments: ParametersT.args, **options: ParametersT.kwargs) -> ResultT:
        deadline = time.monotonic() + WAIT_SECONDS
        pauses = growing_pauses()
        while True:
            try:
                with reported_faults():
                    return action(*arguments, **options)
            except DatabaseDownError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(next(pauses))

    return call


def growing_pauses(most_seconds: float = 8.0) -> Iterator[float]:
    """Yield the seconds to wait between attempts, random so that those of many workers spread."""
    longest = _FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(longest / 2, longest)
        longest = min(2 * longest, most_seconds)


@contextlib.contextmanager
def reported_faults() -> Iterator[None]:
    """Convert a fault of the database in the block to one line.

    Raises:
        DatabaseDownError: If the server does not answer.
        StorageError: For any other fault.
    """
    try:
        yield
    except DBAPIError as error:
        kind = DatabaseDownError if is_unavailable(error) else StorageError
        raise kind(
            f"database of lab.toml fails: {_reason(error)}; nothing is lost, run the same command "
            "again when it is available"
        ) from error


def is_unavailable(error: BaseException) -> bool:
    """Return whether an error means that the server is down, restarting or out of connections."""
    return isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def is_lock_timeout(error: DBAPIError) -> bool:
    """Return whether a statement waited for a lock for as long as it was allowed to."""
    return getattr(error.orig, "sqlstate", None) == "55P03"


def _reason(error: Exception) -> str:
    return mask_passwords(str(error.__cause__ or error)).strip().partition("\n")[0]


@functools.cache
def open_database(address: str) -> Engine:
    """Return the database at an address, with its tables.

    Raises:
        StorageError: If it does not answer or refuses access.
    """
    # Without a pool, a worker that trains holds no connection: servers allow 100 by default.
    engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool)

    @patiently
    def create() -> None:
        # Many workers that start at once would wait for one another's creation.
        if _has_tables(engine):
            return
        with creation(engine) as connection:
            for name, columns in _TABLES.items():
                statement = f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{name} ({columns})"
                connection.execute(text(statement))

    create()
    return engine


def _has_tables(engine: Engine) -> bool:
    missing = " OR ".join(f"to_regclass('{SCHEMA}.{name}') IS NULL" for name in _TABLES)
    with engine.connect() as connection:
        return not connection.scalar(text(f"SELECT {missing}"))


@contextlib.contextmanager
def creation(engine: Engine, schema: str = SCHEMA) -> Iterator[Connection]:
    """Keep other processes, on any host, from creating tables in the block; create a schema.

    Concurrent creation fails even with IF NOT EXISTS, and so do the first steps of MLflow and
    Optuna.

    Args:
        engine: The database.
        schema: The schema.
    """
    with engine.connect() as connection:
        connection.execute(text(f"SELECT pg_advisory_lock({_CREATION_LOCK})"))
        try:
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
            connection.commit()
            yield connection
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text(f"SELECT pg_advisory_unlock({_CREATION_LOCK})"))


@contextlib.contextmanager
def creation_at(address: str) -> Iterator[None]:
    """Do the same for the schema that an address names, if it is one of the lab's."""
    schema = schema_of(address)
    if schema is None:
        yield
        return
    engine = sqlalchemy.create_engine(address)
    try:
        with creation(engine, schema):
            yield
    finally:
        engine.dispose()


@patiently
def execute(engine: Engine, statement: str, **values: object) -> None:
    """Execute a statement in a transaction of its own.

    Raises:
        StorageError: If the database fails.
    """
    with engine.begin() as connection:
        connection.execute(text(statement), values)


@patiently
def query(engine: Engine, statement: str, **values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query.

    Raises:
        StorageError: If the database fails.
    """
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]
