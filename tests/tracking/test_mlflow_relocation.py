"""Workspaces that were moved or copied with their tracking database."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow_runs import assert_mirrored
from run_makers import MakeRun

from switchhead_lab.config.workspace import Workspace, WorkspaceSettings
from switchhead_lab.tracking.mlflow_index import (
    EXPERIMENT,
    artifact_dir,
    open_workspace_index,
    sync_run,
)
from switchhead_lab.tracking.mlflow_relocation import is_misplaced
from switchhead_lab.tracking.mlflow_store import MlflowStore, prepare_experiment
from switchhead_lab.tracking.record import RunRecord, read_mlflow_link, read_run


def workspace_in(root: Path, tracking_uri: str = "sqlite:///runs/mlflow.db") -> Workspace:
    return Workspace(root, WorkspaceSettings(tracking_uri=tracking_uri))


def store_of(workspace: Workspace) -> MlflowStore:
    return MlflowStore(workspace.tracking_uri, EXPERIMENT, artifact_dir(workspace))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def first(tmp_path: Path, runs_dir: Path, template_database: Path, make_run: MakeRun) -> Workspace:
    """A workspace in folder `a` with one mirrored run and one that is not."""
    root = tmp_path / "a"
    root.mkdir()
    make_run()
    make_run(seed=1)
    runs_dir.rename(root / "runs")
    shutil.copy(template_database, root / "runs" / "mlflow.db")
    workspace = workspace_in(root)
    assert sync_run(open_workspace_index(workspace), run_of(workspace, 0))
    return workspace


def run_of(workspace: Workspace, seed: int) -> RunRecord:
    (path,) = workspace.runs_dir.glob(f"words-tiny-dense-xl-lr*-{seed}-*")
    return read_run(path)


def assert_mirrored_in(workspace: Workspace, record: RunRecord) -> None:
    run = assert_mirrored(store_of(workspace), record.directory)
    assert record.status.state == "finished"
    assert run.info.artifact_uri.startswith(artifact_dir(workspace).as_uri() + "/")
    assert run_link(record)["tracking_uri"] == workspace.tracking_uri


def run_link(record: RunRecord) -> dict[str, str]:
    link = read_mlflow_link(record.directory)
    assert link is not None
    return link


def test_a_moved_workspace_uses_its_current_folder(first: Workspace) -> None:
    moved = workspace_in(first.root.with_name("b"))
    run_id = run_link(run_of(first, 0))["run_id"]
    first.root.rename(moved.root)
    other = make_other_workspace(first.root)
    before = contents(other)
    open_workspace_index(moved).start_run(run_of(moved, 1)).finish("finished")
    assert_mirrored_in(moved, run_of(moved, 1))
    # The run mirrored in the old folder has moved too, without a replay.
    assert_mirrored_in(moved, run_of(moved, 0))
    assert run_link(run_of(moved, 0))["run_id"] == run_id
    assert sync_run(open_workspace_index(moved), run_of(moved, 0))
    assert contents(other) == before


def make_other_workspace(root: Path) -> Path:
    folder = root / "runs" / "mlflow-artifacts"
    folder.mkdir(parents=True)
    (folder / "somebody-elses").write_text("file", encoding="utf-8")
    return root


def test_a_removed_folder_is_not_recreated(first: Workspace) -> None:
    moved = workspace_in(first.root.with_name("b"))
    first.root.rename(moved.root)
    for seed in (0, 1):
        assert sync_run(open_workspace_index(moved), run_of(moved, seed))
        assert_mirrored_in(moved, run_of(moved, seed))
    assert not first.root.exists()


def test_a_copied_workspace_does_not_change_the_original(first: Workspace) -> None:
    copied = workspace_in(first.root.with_name("b"))
    shutil.copytree(first.root, copied.root)
    before = contents(first.root)
    for seed in (0, 1):
        assert sync_run(open_workspace_index(copied), run_of(copied, seed))
        assert_mirrored_in(copied, run_of(copied, seed))
    assert contents(first.root) == before
    assert_mirrored_in(first, run_of(first, 0))


def test_the_interface_shows_a_moved_workspace(first: Workspace) -> None:
    moved = workspace_in(first.root.with_name("b"))
    first.root.rename(moved.root)
    prepare_experiment(moved.tracking_uri, artifact_dir(moved), EXPERIMENT)
    assert_mirrored_in(moved, run_of(moved, 0))


def test_a_folder_that_shares_a_name_prefix_is_not_rewritten(first: Workspace) -> None:
    moved = workspace_in(first.root.with_name("b"))
    store = store_of(first)
    beside = (first.root / "runs" / "mlflow-artifacts-of-mine").as_uri()
    mine = store.client.create_experiment("mine", artifact_location=beside)
    first.root.rename(moved.root)
    assert store_of(moved).client.get_experiment(mine).artifact_location == beside


def test_workspaces_that_share_a_database_keep_separate_artifacts(
    first: Workspace, template_database: Path, tmp_path: Path
) -> None:
    shared = f"sqlite:///{tmp_path}/shared.db"
    shutil.copy(template_database, tmp_path / "shared.db")
    a = replace(first, settings=WorkspaceSettings(tracking_uri=shared))
    b = workspace_in(first.root.with_name("b"), shared)
    shutil.copytree(a.root, b.root)
    for _ in range(2):
        for workspace in (a, b):
            record = run_of(workspace, 1)
            assert sync_run(open_workspace_index(workspace), record)
            assert_mirrored_in(workspace, record)


def test_a_run_with_artifacts_elsewhere_is_recreated(first: Workspace, tmp_path: Path) -> None:
    elsewhere = (tmp_path / "elsewhere" / "1").as_uri()
    with closing(sqlite3.connect(first.runs_dir / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE runs SET artifact_uri = ?", (elsewhere,))
    assert sync_run(open_workspace_index(first), run_of(first, 0))
    assert_mirrored_in(first, run_of(first, 0))
    assert not (tmp_path / "elsewhere").exists()


def test_artifacts_of_a_server_are_never_misplaced(tmp_path: Path) -> None:
    assert not is_misplaced("mlflow-artifacts:/1", tmp_path)
    assert not is_misplaced((tmp_path / "a b" / "1").as_uri(), tmp_path / "a b")
    assert is_misplaced((tmp_path / "a b" / "1").as_uri(), tmp_path / "a")
