"""Run directories created without training, and tracking databases copied from a template."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from switchhead_lab.tracking.mlflow_index import MlflowIndex
from switchhead_lab.tracking.mlflow_store import MlflowStore


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracking database with a schema, which takes seconds to create."""
    folder = tmp_path_factory.mktemp("template")
    path = folder / "mlflow.db"
    MlflowStore(f"sqlite:///{path}", "warm-up", folder / "artifacts")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def tracking_uri(template_database: Path, runs_dir: Path) -> str:
    """A tracking database for one test."""
    path = runs_dir / "mlflow.db"
    shutil.copy(template_database, path)
    return f"sqlite:///{path}"


@pytest.fixture
def index(tracking_uri: str, runs_dir: Path) -> MlflowIndex:
    return MlflowIndex(tracking_uri, "test", runs_dir / "mlflow-artifacts")


@pytest.fixture
def store(tracking_uri: str, runs_dir: Path) -> MlflowStore:
    """The same experiment as `index`, for inspection."""
    return MlflowStore(tracking_uri, "test", runs_dir / "mlflow-artifacts")
