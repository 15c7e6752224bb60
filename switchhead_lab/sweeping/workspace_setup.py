"""Setting up a workspace: its lab.toml, its databases and its object store."""

from collections.abc import Iterator
from pathlib import Path

from switchhead_lab.config.files import parse
from switchhead_lab.config.redaction import mask_address
from switchhead_lab.config.workspace import FILE_NAME, Workspace, WorkspaceSettings, find_workspace
from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking.artifact_store import ArtifactStore
from switchhead_lab.tracking.atomic import make_directory, write_text

_SETTINGS = """\
# Workspace of switchhead_lab; `lab doctor` checks it. Relative paths start at this folder.
sweeps_dir = "sweeps"
runs_dir = "runs"
data_dir = "data"
reports_dir = "reports"
"""
_COMMENT = "# Sweeps, Optuna and MLflow; the password comes from PGPASSWORD or ~/.pgpass."
_STORE_COMMENT = "# Run directories of all hosts; credentials come from the environment or ~/.aws."


def write_settings(folder: Path, database: str, artifacts: str = "") -> Path | None:
    """Write lab.toml into a folder unless there is one.

    Args:
        folder: The folder.
        database: Address of a PostgreSQL database; may be empty.
        artifacts: Address of an object store; may be empty.

    Returns:
        The file; None if there was one.

    Raises:
        ConfigError: If an address is not a PostgreSQL database's or an object store's.
        WorkspaceError: If there is one with another database or store.
    """
    path = folder / FILE_NAME
    settings = parse(WorkspaceSettings, {"database": database}, "--database")
    store = parse(WorkspaceSettings, {"artifacts_uri": artifacts}, "--artifacts").artifacts_uri
    if path.exists():
        known = find_workspace(folder, environment={}).settings
        for option, field, given, has in (
            ("--database", "database", settings.database, known.database),
            ("--artifacts", "artifacts_uri", store, known.artifacts_uri),
        ):
            if given and given != has:
                what = f"has {mask_address(has)}" if has else f"has no {field}"
                raise WorkspaceError(
                    f"{path}: {what}, but {option} names another one; change `{field}` in the "
                    f"file, or leave {option} out"
                )
        return None
    text = _SETTINGS
    if database:
        text += f'{_COMMENT}\ndatabase = "{database}"\n'
    if store:
        text += f'{_STORE_COMMENT}\nartifacts_uri = "{store}"\n'
    write_text(path, text)
    make_directory(folder / settings.sweeps_dir)
    return path


def prepare_databases(workspace: Workspace) -> Iterator[str]:
    """Create the tables of sweeps, Optuna and MLflow; yield one line for each that is ready.

    Raises:
        StorageError: If a database does not answer or refuses access.
        RecordError: If Optuna's storage cannot be used.
        WorkspaceError: If MLflow's database cannot be used.
    """
    # Deferred: slow imports, so that a wrong address fails fast.
    from switchhead_lab.sweeping.study_storage import prepare_storage
    from switchhead_lab.tracking.mlflow_index import EXPERIMENT, artifact_dir
    from switchhead_lab.tracking.mlflow_store import MlflowStore, load_mlflow

    make_directory(workspace.runs_dir)
    if workspace.database:
        from switchhead_lab.tracking.database_server import open_database

        open_database(workspace.database)
        yield f"sweeps: {mask_address(workspace.settings.database)}"
    prepare_storage(workspace.study_storage, workspace.runs_dir)
    yield f"Optuna: {mask_address(workspace.study_storage)}"
    if workspace.tracking_uri == "none":
        yield 'MLflow: none, as tracking_uri = "none" in lab.toml'
        return
    load_mlflow()
    MlflowStore(workspace.tracking_uri, EXPERIMENT, artifact_dir(workspace))
    yield f"MLflow: {mask_address(workspace.tracking_uri)}"


def check_store(workspace: Workspace) -> Iterator[str]:
    """Check that the object store can be written and read; yield one line if there is one.

    Raises:
        ConfigError: If the package of its protocol is not installed.
        StorageError: If it cannot be written or read.
    """
    if address := workspace.settings.artifacts_uri:
        ArtifactStore(address).check()
        yield f"run directories: {address} can be written and read"
