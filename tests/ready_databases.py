"""Databases with a schema, which takes seconds to create: made once per process, then copied.

Tests of processes of their own, and of other schemas, still create theirs.
"""

import inspect
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from switchhead_lab.config.addresses import database_path
from switchhead_lab.sweeping import study_storage
from switchhead_lab.tracking import mlflow_database
from switchhead_lab.tracking.database_file import create_database

Build = Callable[[str], None]
_copies = [True]


@pytest.fixture(scope="session", autouse=True)
def _ready_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the lab create its databases as ever, but from a copy of the first one's tables."""
    folder = tmp_path_factory.mktemp("ready")
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((study_storage, "optuna.db"), (mlflow_database, "mlflow.db")):
            patch.setattr(module, "create_database", _copying(folder / name))
        yield


def _copying(ready: Path) -> Callable[[Path, Build], None]:
    def create(path: Path, build: Build) -> None:
        if not _copies[-1]:
            create_database(path, build)
            return

        def copy(uri: str) -> None:
            file = database_path(uri)
            assert file is not None
            if ready.is_file():
                shutil.copyfile(ready, file)
                _place_artifacts(file, build)
            else:
                build(uri)
                shutil.copyfile(file, ready)

        create_database(path, copy)

    return create


def _place_artifacts(file: Path, build: Build) -> None:
    """Give MLflow's own experiment the folder that the first one would have."""
    folder = inspect.getclosurevars(build).nonlocals.get("artifact_dir")
    if folder is not None:
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(
                "UPDATE experiments SET artifact_location = ?", (f"{folder.resolve().as_uri()}/0",)
            )


@pytest.fixture
def creates_databases() -> Iterator[None]:
    """Let a test create its databases statement by statement."""
    _copies.append(False)
    yield
    _copies.pop()
