"""Updating the paths in a tracking database that was moved or copied with its workspace.

MLflow stores absolute artifact addresses: an experiment's from its creation, a run's from its
experiment. It has no call that changes them, and a new experiment would lose run ids and users'
notes, so the columns are rewritten in one transaction, with the folders in our own tags.
"""

import json
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from switchhead_lab.tracking.atomic import write_text
from switchhead_lab.tracking.database_file import connect
from switchhead_lab.tracking.file_names import MLFLOW_LINK_FILE
from switchhead_lab.tracking.mlflow_fields import TAG_CHECKPOINTS, TAG_RUN_DIR
from switchhead_lab.tracking.record import read_mlflow_link

# Table and column of the addresses below an experiment's artifact folder.
_ARTIFACT_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
)
# Table, column, column of the tag's name, and name of the tags with folders below that of the runs.
_TAGS = (
    ("tags", "value", "key", TAG_RUN_DIR),
    ("logged_model_tags", "tag_value", "tag_key", TAG_CHECKPOINTS),
)


def follow_workspace(
    database: Path, experiment: str, artifact_dir: Path, tracking_uri: str
) -> None:
    """Rewrite the recorded folders if an experiment's artifact folder is not the current one.

    Databases outside the runs folder do not move with it and are left alone. The caller holds the
    lock of the database.

    Args:
        database: The SQLite database.
        experiment: Name of the experiment.
        artifact_dir: Current folder of its artifacts, in the runs folder; absolute.
        tracking_uri: Address to write into the links of run directories.
    """
    runs_dir = artifact_dir.parent
    if not database.resolve().is_relative_to(runs_dir):
        return
    with connect(database) as connection:
        row = connection.execute(
            "SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)
        ).fetchone()
        old, new = (row[0] if row else None), artifact_dir.as_uri()
        if not old or old == new or not old.startswith("file:"):
            return
        old_runs_dir = Path(local_path(old)).parent
        with connection:
            for table, column in _ARTIFACT_COLUMNS:
                _replace_prefix(connection, table, column, old, new)
            for table, column, key_column, key in _TAGS:
                condition = f"AND {key_column} = '{key}'"
                places = (str(old_runs_dir), str(runs_dir))
                _replace_prefix(connection, table, column, *places, condition)
    for link_path in runs_dir.glob(f"*/{MLFLOW_LINK_FILE}"):
        link = read_mlflow_link(link_path.parent)
        if link is not None:
            write_text(
                link_path, json.dumps({**link, "tracking_uri": tracking_uri}, indent=2) + "\n"
            )


def local_path(uri: str) -> Path:
    """Return the path of a `file:` address."""
    return Path(url2pathname(urlsplit(uri).path))


def is_misplaced(artifact_uri: str, artifact_dir: Path) -> bool:
    """Return whether a run's artifacts are files outside the workspace's artifact folder."""
    return artifact_uri.startswith("file:") and not local_path(artifact_uri).is_relative_to(
        artifact_dir
    )


def _replace_prefix(
    connection: sqlite3.Connection, table: str, column: str, old: str, new: str, condition: str = ""
) -> None:
    """Replace the start of a column's values; `condition` continues the WHERE clause."""
    connection.execute(
        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
        f"WHERE ({column} = ? OR substr({column}, 1, ?) = ?) {condition}",
        (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
    )
