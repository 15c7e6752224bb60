import errno
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from disk_faults import umask
from sql_kills import kill_self, run_until_killed, run_until_statement

from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking import database_file
from switchhead_lab.tracking.database_file import create_database, has_rows, is_empty, tables
from switchhead_lab.tracking.mlflow_environment import quiet_environment
from switchhead_lab.tracking.mlflow_store import MlflowStore, load_mlflow, prepare_experiment


def build(uri: str) -> None:
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("CREATE TABLE made (x)")


def test_a_database_appears_complete(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "new.db"

    def build_and_look(uri: str) -> None:
        build(uri)
        assert not path.exists()

    create_database(path, build_and_look)
    assert tables(path) == {"made"}
    assert [file.name for file in path.parent.iterdir()] == ["new.db"]
    create_database(path, lambda _uri: pytest.fail("it exists already"))


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    for prepare in (path.touch, lambda: sqlite3.connect(path).execute("VACUUM").connection.close()):
        prepare()
        assert is_empty(path)
        create_database(path, build)
        assert not is_empty(path)
        path.unlink()


def test_a_failed_creation_leaves_no_files(tmp_path: Path) -> None:
    path = tmp_path / "new.db"

    def fail(uri: str) -> None:
        build(uri)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_database(path, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_with_the_bytes_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_uri: str) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError):
        create_database(tmp_path / "new.db", fail)
    usage = database_file.shutil._ntuple_diskusage(10**9, 10**9, 17)
    monkeypatch.setattr(database_file.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(WorkspaceError, match=r"new\.db: cannot be created: 17 bytes are free.*ded"):
        create_database(tmp_path / "new.db", fail)
    assert list(tmp_path.iterdir()) == []


def test_the_stale_log_of_a_moved_database_is_renamed(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    for suffix in ("-wal", "-shm", "-journal"):
        (tmp_path / f"new.db{suffix}").write_bytes(b"old")
    create_database(path, build)
    assert tables(path) == {"made"}
    assert (tmp_path / "new.db-wal.orphaned").read_bytes() == b"old"


def test_a_file_that_is_not_a_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(WorkspaceError, match=r"bad\.db: cannot be used: .*not a database"):
        has_rows(path, "experiments")


@pytest.mark.thorough
@pytest.mark.parametrize("number", [1, 150, 400])
def test_a_kill_during_schema_creation_leaves_a_working_workspace(
    tmp_path: Path, number: int
) -> None:
    path, artifacts = tmp_path / "mlflow.db", tmp_path / "artifacts"
    load_mlflow()
    run_until_statement(lambda: prepare_experiment(f"sqlite:///{path}", artifacts, "test"), number)
    assert is_empty(path)
    prepare_experiment(f"sqlite:///{path}", artifacts, "test")
    assert has_rows(path, "experiments")
    assert not list(tmp_path.glob(".*.new*"))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_the_rename_leaves_a_working_workspace(
    tmp_path: Path, template_database: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    path = tmp_path / "mlflow.db"

    def copy(uri: str) -> None:
        Path(uri.removeprefix("sqlite:///")).write_bytes(template_database.read_bytes())

    def create() -> None:
        replace = Path.replace

        def kill_at_replace(source: Path, target: Path) -> Path:
            if when == "after":
                replace(source, target)
            kill_self()
            return target

        monkeypatch.setattr(Path, "replace", kill_at_replace)
        create_database(path, copy)

    run_until_killed(create)
    assert path.exists() == (when == "after")
    MlflowStore(f"sqlite:///{path}", "test", tmp_path / "artifacts")
    assert not list(tmp_path.glob(".*.new*"))


def test_an_incomplete_database_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    quiet_environment()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    run_until_statement(lambda: SqlAlchemyStore(f"sqlite:///{path}", str(tmp_path)), 40)
    before = path.read_bytes()
    with pytest.raises(WorkspaceError, match=r"incomplete.*move it aside.*`lab runs sync`"):
        MlflowStore(f"sqlite:///{path}", "test", tmp_path / "artifacts")
    assert path.read_bytes() == before
    path.rename(tmp_path / "mlflow.db.broken")
    MlflowStore(f"sqlite:///{path}", "test", tmp_path / "artifacts")


def test_another_programs_database_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    build(f"sqlite:///{path}")
    with pytest.raises(WorkspaceError, match="not an MLflow database"):
        prepare_experiment(f"sqlite:///{path}", tmp_path / "artifacts", "test")
    assert tables(path) == {"made"}


def test_a_full_disk_at_the_rename_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(database_file.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        create_database(tmp_path / "new.db", build)
    assert list(tmp_path.iterdir()) == []


def test_databases_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "group.db"
    with umask(0o002):
        create_database(path, build)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664
