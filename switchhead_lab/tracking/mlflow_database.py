"""The database under MLflow: created completely or not at all, and moved with its workspace."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from switchhead_lab.config.addresses import database_path, schema_of
from switchhead_lab.config.redaction import mask_passwords
from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking.atomic import make_directory
from switchhead_lab.tracking.database_file import (
    create_database,
    has_rows,
    tables,
    use_write_ahead_log,
)
from switchhead_lab.tracking.mlflow_environment import quiet_environment
from switchhead_lab.tracking.mlflow_relocation import follow_workspace

LOCK_SECONDS = 120.0  # another process may be creating the schema


@contextlib.contextmanager
def creation_lock(tracking_uri: str, artifact_dir: Path) -> Iterator[None]:
    """Keep other processes from creating the same schema or experiment."""
    from filelock import FileLock

    path = database_path(tracking_uri)
    if path is None:
        path = artifact_dir / "tracking"
    make_directory(path.parent)
    with contextlib.ExitStack() as stack:
        stack.enter_context(FileLock(f"{path}.lock", timeout=LOCK_SECONDS))
        if schema_of(tracking_uri) is not None:  # for other machines too
            from switchhead_lab.tracking.database_server import creation_at

            stack.enter_context(creation_at(tracking_uri))
        yield


def open_database(tracking_uri: str, artifact_dir: Path, experiment: str) -> None:
    """Create the schema of a database if it has none; raise if MLflow cannot use it."""
    quiet_environment()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    def build(uri: str) -> None:
        # Through the client, the artifact root of MLflow's default experiment would be the working
        # folder of the first process.
        root = artifact_dir.resolve().as_uri()
        SqlAlchemyStore(uri, root).engine.dispose()  # type: ignore[no-untyped-call]
        built = database_path(uri)
        if built is not None:
            use_write_ahead_log(built)

    path = database_path(tracking_uri)
    if path is not None:
        create_database(path, build)
        _require_complete(path)
        follow_workspace(path, experiment, artifact_dir.resolve(), mask_passwords(tracking_uri))
    else:
        _require_connection(tracking_uri)
    build(tracking_uri)


def _require_complete(path: Path) -> None:
    """Raise if an earlier version, which created databases in place, was interrupted.

    MLflow's schema ends with a default experiment; without one, nothing has been recorded.
    """
    if not has_rows(path, "experiments"):
        is_ours = not tables(path).isdisjoint({"alembic_version", "experiments"})
        what = (
            "incomplete because its creation was interrupted"
            if is_ours
            else "not an MLflow database"
        )
        raise WorkspaceError(
            f"{path}: {what}; move it aside (mv {path.name} {path.name}.broken) and run "
            "`lab runs sync`, which rebuilds it from the run directories"
        )


def _require_connection(tracking_uri: str) -> None:
    """Open a database once and raise if that fails; MLflow would retry for 100 s."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(tracking_uri)
    try:
        sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()
