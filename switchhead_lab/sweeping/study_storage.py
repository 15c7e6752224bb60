"""Optuna's storage: created atomically, with waits while another process locks it."""

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
"""Longest wait for a SQLite storage that another process has locked."""
# SQLite waits in native code, where signals are not handled, so its waits are short and repeated.
_STATEMENT_SECONDS = 1.0
_PAUSE_SECONDS = 0.05
ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")


def create_storage(storage_uri: str) -> None:
    """Create the schema of a SQLite storage atomically, unless it exists.

    Raises:
        RecordError: If an interrupted creation left a partial schema.
        WorkspaceError: If the file is not a database.
    """
    path = database_path(storage_uri)
    if path is None:
        return

    def build(uri: str) -> None:
        optuna.storages.RDBStorage(uri).engine.dispose()

    create_database(path, build)
    # Optuna writes these last, before any study.
    if path.is_file() and not (
        has_rows(path, "version_info") and has_rows(path, "alembic_version")
    ):
        raise RecordError(
            f"study storage {path}: half-made (its creation was interrupted) or another program's; "
            f"move it aside (mv {path.name} {path.name}.broken) and run the sweep again, which "
            "creates a new one; finished runs are not trained again"
        )


def connect_storage(uri: str) -> optuna.storages.RDBStorage:
    """Return the storage at a SQLAlchemy address."""
    is_sqlite = uri.startswith("sqlite")
    arguments = {"connect_args": {"timeout": _STATEMENT_SECONDS}} if is_sqlite else {}
    return optuna.storages.RDBStorage(uri, engine_kwargs=arguments)


def retry_while_locked(
    action: Callable[ParametersT, ResultT],
    *arguments: ParametersT.args,
    **options: ParametersT.kwargs,
) -> ResultT:
    """Retry an action until no other process locks the storage.

    Raises:
        Exception: What the action raises, after at most `WAIT_SECONDS` of waiting.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return action(*arguments, **options)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            if "locked" not in storage_reason(error) or time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def on_storage(action: Callable[ParametersT, ResultT]) -> Callable[ParametersT, ResultT]:
    """Decorate a function that uses the storage: wait for locks; raise one-line `StorageError`s."""

    @functools.wraps(action)
    def call(*arguments: ParametersT.args, **options: ParametersT.kwargs) -> ResultT:
        try:
            return retry_while_locked(action, *arguments, **options)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise StorageError(
                f"study_storage of lab.toml fails: {storage_reason(error)}; nothing is lost, run "
                "the same command again when the storage is available"
            ) from error

    return call


def storage_reason(error: Exception, *addresses: str) -> str:
    """Return the first line of a storage error, without secrets."""
    return mask_passwords(str(error.__cause__ or error), *addresses).strip().partition("\n")[0]
