"""Optuna's storage: made in one step, waited for while another program holds it."""

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import optuna
from sqlalchemy.exc import SQLAlchemyError

from switchhead_lab.config.addresses import database_path
from switchhead_lab.config.redaction import mask_passwords
from switchhead_lab.errors import RecordError, StorageError
from switchhead_lab.tracking.database_file import create_database, has_rows

WAIT_SECONDS = 60.0
"""How long to wait for another program that holds a SQLite storage."""
# SQLite waits in native code, where no signal is handled: it waits often, and not for long.
_STATEMENT_SECONDS = 1.0
_PAUSE_SECONDS = 0.05
ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")


def create_storage(storage_uri: str) -> None:
    """Create the schema of a SQLite storage in one step, unless there is one.

    Raises:
        RecordError: If an interrupted creation left a part of it.
        WorkspaceError: If the file is no database.
    """
    path = database_path(storage_uri)
    if path is None:
        return

    def build(uri: str) -> None:
        optuna.storages.RDBStorage(uri).engine.dispose()

    create_database(path, build)
    # Optuna writes these last, and before any study.
    if path.is_file() and not (
        has_rows(path, "version_info") and has_rows(path, "alembic_version")
    ):
        raise RecordError(
            f"study storage {path}: half-made, its creation was interrupted, or another program's; "
            f"move it aside (mv {path.name} {path.name}.broken) and run the sweep again, which "
            "makes it anew; finished runs are not trained again"
        )


def connect_storage(uri: str) -> optuna.storages.RDBStorage:
    """Return the storage at a SQLAlchemy address."""
    is_sqlite = uri.startswith("sqlite")
    arguments = {"connect_args": {"timeout": _STATEMENT_SECONDS}} if is_sqlite else {}
    return optuna.storages.RDBStorage(uri, engine_kwargs=arguments)


def patiently(
    action: Callable[ParametersT, ResultT],
    *arguments: ParametersT.args,
    **options: ParametersT.kwargs,
) -> ResultT:
    """Call an action that may be repeated until no other program holds the storage.

    Raises:
        Exception: What the action raises, at the latest after `WAIT_SECONDS` of waiting.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return action(*arguments, **options)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            if "locked" not in reason_of(error) or time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def on_storage(action: Callable[ParametersT, ResultT]) -> Callable[ParametersT, ResultT]:
    """Have a function that uses the storage wait for it, and say in one line where it refuses."""

    @functools.wraps(action)
    def call(*arguments: ParametersT.args, **options: ParametersT.kwargs) -> ResultT:
        try:
            return patiently(action, *arguments, **options)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise StorageError(
                f"study_storage of lab.toml refuses: {reason_of(error)}. Nothing is lost: give the "
                "same command again when the storage answers"
            ) from error

    return call


def reason_of(error: Exception, *addresses: str) -> str:
    """Return the first line of what a storage's error says, without secrets."""
    return mask_passwords(str(error.__cause__ or error), *addresses).strip().partition("\n")[0]
