"""Optuna's storage: created atomically, with waits while another process locks it."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import optuna
import sqlalchemy
from filelock import FileLock
from sqlalchemy.exc import SQLAlchemyError

from switchhead_lab.config.addresses import database_path
from switchhead_lab.config.redaction import mask_address, mask_passwords
from switchhead_lab.errors import LabError, RecordError, StorageError
from switchhead_lab.tracking.atomic import make_directory
from switchhead_lab.tracking.database_file import create_database, has_rows
from switchhead_lab.tracking.database_server import creation_at, is_unavailable

WAIT_SECONDS = 60.0
"""Longest wait for a storage that another process has locked or that does not answer."""
# SQLite waits in native code, where signals are not handled, so its waits are short and repeated.
_STATEMENT_SECONDS = 1.0
_PAUSE_SECONDS = 0.05
ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")


@contextlib.contextmanager
def opening_storage(storage_uri: str, lock_dir: Path) -> Iterator[None]:
    """Hold the lock for creating studies in the block, and report what fails.

    Raises:
        RecordError: If the storage cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    make_directory(lock_dir)
    try:
        with FileLock(lock_dir / ".optuna-schema.lock"):
            yield
    except LabError:
        raise
    except Exception as error:  # SQLAlchemy raises many types
        raise RecordError(
            f"study storage {mask_address(storage_uri)}: cannot be opened: "
            f"{storage_reason(error, storage_uri)}; check study_storage in lab.toml"
        ) from error


def prepare_storage(storage_uri: str, lock_dir: Path) -> None:
    """Create the schema of a storage, unless it exists.

    Args:
        storage_uri: SQLAlchemy URI of Optuna's storage.
        lock_dir: Folder of the lock, since concurrent creation would break the schema.

    Raises:
        RecordError: If the storage cannot be opened.
        WorkspaceError: If a SQLite file is not a database.
    """
    with opening_storage(storage_uri, lock_dir):
        retry_while_locked(create_storage, storage_uri)


def create_storage(storage_uri: str) -> None:
    """Create the schema of a storage, unless it exists: that of a SQLite file atomically.

    Raises:
        RecordError: If an interrupted creation left a partial schema.
        WorkspaceError: If the file is not a database.
    """
    path = database_path(storage_uri)

    def build(uri: str) -> None:
        optuna.storages.RDBStorage(uri).engine.dispose()

    if path is None:
        with creation_at(storage_uri):
            build(storage_uri)
        return
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
    if uri.startswith("sqlite"):
        arguments: dict[str, Any] = {"connect_args": {"timeout": _STATEMENT_SECONDS}}
    else:
        # Many workers would use up the server's connections, and a restart invalidates them.
        arguments = {"poolclass": sqlalchemy.NullPool}
    return optuna.storages.RDBStorage(uri, engine_kwargs=arguments)


def retry_while_locked(
    action: Callable[ParametersT, ResultT],
    *arguments: ParametersT.args,
    **options: ParametersT.kwargs,
) -> ResultT:
    """Retry an action while another process locks the storage or its server does not answer.

    Raises:
        Exception: What the action raises, after at most `WAIT_SECONDS` of waiting.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return action(*arguments, **options)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            cause = error.__cause__ or error
            is_passing = "locked" in storage_reason(error) or is_unavailable(cause)
            if not is_passing or time.monotonic() >= deadline:
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
