"""`lab init`: a workspace and its databases, on files and on PostgreSQL."""

import sqlite3
from pathlib import Path

import psycopg
import pytest
from postgresql import PASSWORD
from typer.testing import CliRunner

from switchhead_lab.cli.app import app
from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.errors import ConfigError, WorkspaceError


def init(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["init", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_folder_becomes_a_workspace_with_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = init()
    assert f"wrote {tmp_path / 'lab.toml'}" in text
    workspace = find_workspace(tmp_path, environment={})
    assert workspace.sweeps_dir.is_dir()
    with sqlite3.connect(workspace.runs_dir / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert (workspace.runs_dir / "optuna.db").is_file()
    before = (tmp_path / "lab.toml").read_text()
    assert "wrote" not in init()
    assert (tmp_path / "lab.toml").read_text() == before


def test_one_setting_prepares_every_schema(tmp_path, monkeypatch, database) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        text = init("--database", database)
        assert f"sweeps: {database}" in text
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT LIKE 'pg%'"
        ).fetchall()
    assert {name for (name,) in rows} == {"information_schema", "lab", "mlflow", "optuna"}
    workspace = find_workspace(tmp_path, environment={})
    assert workspace.tracking_uri.endswith("?options=-csearch_path%3Dmlflow")
    assert workspace.study_storage.startswith("postgresql+psycopg://lab@")
    assert list(tmp_path.rglob("*.db")) == []
    assert PASSWORD not in (tmp_path / "lab.toml").read_text()


def test_an_object_store_is_written_down_and_checked(tmp_path, monkeypatch) -> None:
    nothing = "switchhead_lab.sweeping.workspace_setup.prepare_databases"
    monkeypatch.setattr(nothing, lambda _workspace: iter(()))
    root = tmp_path / "lab"
    root.mkdir()
    monkeypatch.chdir(root)
    address = f"file://{tmp_path}/store"
    for _ in range(2):
        assert f"run directories: {address} can be written and read" in init("--artifacts", address)
    assert find_workspace(root, environment={}).settings.artifacts_uri == address
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["lab-check.txt"]
    with pytest.raises(WorkspaceError, match="--artifacts names another one"):
        init("--artifacts", "s3://bucket/lab")


def test_addresses_of_ones_own_win(tmp_path) -> None:
    (tmp_path / "lab.toml").write_text(
        'database = "postgresql://lab@db/lab"\ntracking_uri = "http://tracker:5000"\n'
    )
    workspace = find_workspace(tmp_path, environment={})
    assert workspace.tracking_uri == "http://tracker:5000"
    assert workspace.study_storage == (
        "postgresql+psycopg://lab@db/lab?options=-csearch_path%3Doptuna"
    )


def test_another_database_than_that_of_the_file_is_rejected(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab.toml").write_text('database = "postgresql://lab:xyzzy@db/one"\n')
    with pytest.raises(WorkspaceError, match="--database names another one") as error:
        init("--database", "postgresql://lab@db/two")
    assert "xyzzy" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("mysql://lab@db/one", "not a PostgreSQL database like"),
        ("sqlite:///runs/lab.db", "not a PostgreSQL database like"),
        ("postgresql://lab@db", "not a PostgreSQL database like"),
        ("postgresql+psycopg2://lab@db/one", "not a PostgreSQL database like"),
        ("postgresql://lab@db/one?options=-csearch_path%3Dx", "options are not supported"),
        ("nonsense", "not a database address"),
    ],
)
def test_other_addresses_are_rejected(tmp_path, monkeypatch, address, expected) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=expected):
        init("--database", address)
    assert not (tmp_path / "lab.toml").exists()
