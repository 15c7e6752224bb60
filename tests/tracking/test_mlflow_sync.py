import shutil
import sqlite3
import threading
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from mlflow_runs import all_runs, assert_mirrored, find_sweep, parent_of, runs_with
from run_makers import MakePoint, MakeRun, OpenRun, WriteSweep

from switchhead_lab.config.workspace import Workspace, WorkspaceSettings
from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking import mlflow_index
from switchhead_lab.tracking.file_names import UNSYNCED_FILE
from switchhead_lab.tracking.liveness import run_lock
from switchhead_lab.tracking.mlflow_index import EXPERIMENT, open_workspace_index
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.mlflow_sync import sweep_state, sync_workspace
from switchhead_lab.tracking.record import RunResult, read_run
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.tracking.unsynced import is_unsynced


@pytest.fixture
def tracked(tracking_uri: str, tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, WorkspaceSettings(tracking_uri=tracking_uri))


@pytest.fixture
def shown(tracked: Workspace) -> MlflowStore:
    """MLflow's copy of the workspace."""
    return MlflowStore(tracked.tracking_uri, EXPERIMENT, tracked.runs_dir / "mlflow-artifacts")


def test_runs_and_sweeps_are_copied_to_mlflow(
    tracked: Workspace, shown: MlflowStore, make_run: MakeRun, write_sweep: WriteSweep
) -> None:
    shared, second, alone = make_run(), make_run(seed=1), make_run("failed", seed=2)
    later = write_sweep("later", [shared, second], started_at=2.0)
    earlier = write_sweep("earlier", [shared], started_at=1.0)
    for _ in range(2):
        assert sync_workspace(tracked, [shared, second, alone]) == 3
        first_sweep, second_sweep = find_sweep(shown, earlier), find_sweep(shown, later)
        assert first_sweep.info.status == "FINISHED"
        assert first_sweep.data.tags["lab.matching"] == "parameter_matched"
        assert first_sweep.data.params["baseline.n_heads"] == "4"
        assert parent_of(shown, shared) == first_sweep.info.run_id
        assert parent_of(shown, second) == second_sweep.info.run_id
        assert parent_of(shown, alone) is None
    assert len(all_runs(shown)) == 5


def test_only_marked_runs_are_copied_on_request(
    tracked: Workspace, shown: MlflowStore, make_run: MakeRun
) -> None:
    marked, other = make_run(), make_run(seed=1)
    (marked.directory / UNSYNCED_FILE).write_text("why\n", encoding="utf-8")
    assert sync_workspace(tracked, [marked, other], only_unsynced=True) == 1
    assert [run.info.run_name for run in all_runs(shown)] == [marked.name]
    assert sync_workspace(tracked, [marked, other], only_unsynced=True) == 0


def test_runs_that_could_not_be_copied_are_counted(
    tracked: Workspace, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = make_run(), make_run(seed=1)
    (bad.directory / "config.toml").write_text("{", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="1 of 2 runs could not be copied"):
        sync_workspace(tracked, [bad, good])


def test_sweeps_that_could_not_be_copied_are_counted(
    tracked: Workspace, make_run: MakeRun, write_sweep: WriteSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_run()
    write_sweep("sweep", [record])
    monkeypatch.setattr(MlflowStore, "replay_sweep", lambda *_: 1 / 0)
    with pytest.raises(WorkspaceError, match=r"^1 sweep could not be copied"):
        sync_workspace(tracked, [record])


def test_without_mlflow_there_is_nothing_to_copy_to(tmp_path: Path, make_run: MakeRun) -> None:
    workspace = Workspace(tmp_path, WorkspaceSettings(tracking_uri="none"))
    with pytest.raises(WorkspaceError, match="no MLflow to copy to"):
        sync_workspace(workspace, [make_run()])


def test_a_full_sync_removes_runs_that_are_no_longer_on_disk(
    tracked: Workspace, shown: MlflowStore, make_run: MakeRun, write_sweep: WriteSweep
) -> None:
    kept, gone, damaged = make_run(), make_run(seed=1), make_run(seed=2)
    sweep = write_sweep("sweep", [kept])
    assert sync_workspace(tracked, [kept, gone, damaged]) == 3
    experiment = shown.experiment_id
    shown.client.create_run(experiment, run_name=kept.name)  # left untagged by a killed start
    mine = shown.client.create_run(experiment, run_name="a user's own").info.run_id
    shown.client.create_run(experiment, tags={"lab.sweep_id": "gone-tiny-1"})
    shutil.rmtree(gone.directory)
    (damaged.directory / "status.json").write_text("{", encoding="utf-8")
    sync_workspace(tracked, [kept])
    assert len(all_runs(shown)) == 7
    sync_workspace(tracked, [kept], is_whole=True)
    left = {run.info.run_name: run for run in all_runs(shown)}
    names = {kept.name, damaged.name, sweep_id(sweep.sweep), "a user's own"}
    assert set(left) == names
    assert left["a user's own"].info.run_id == mine


def test_a_shared_database_keeps_runs_that_are_not_on_disk(
    tracking_uri: str, tmp_path: Path, make_run: MakeRun
) -> None:
    Path(tracking_uri.removeprefix("sqlite:///")).rename(tmp_path / "shared.db")
    uri = f"sqlite:///{tmp_path}/shared.db"
    workspace = Workspace(tmp_path, WorkspaceSettings(tracking_uri=uri))
    store = MlflowStore(uri, EXPERIMENT, workspace.runs_dir / "mlflow-artifacts")
    tags = {"lab.run_hash": "f00", "lab.run_name": "of another workspace"}
    store.client.create_run(store.experiment_id, tags=tags)
    sync_workspace(workspace, [make_run()], is_whole=True)
    assert len(runs_with(store, "lab.run_hash", "f00")) == 1


def test_a_sweep_killed_between_runs_is_interrupted(
    tracked: Workspace, shown: MlflowStore, make_run: MakeRun, write_sweep: WriteSweep
) -> None:
    record = make_run()
    sweep = write_sweep("sweep", [record])
    folder = SweepDir.of(tracked.runs_dir, sweep.sweep).path
    index = open_workspace_index(tracked)
    parent_id = index.start_sweep(sweep, folder)
    index.start_run(record, parent_id).finish("finished")
    assert parent_id is not None
    assert shown.client.get_run(parent_id).info.status == "RUNNING"
    assert sync_workspace(tracked, [record], only_unsynced=True) == 0
    assert shown.client.get_run(parent_id).info.status == "FINISHED"
    assert not is_unsynced(folder)


@pytest.mark.parametrize(
    ("run_state", "member_state", "expected"),
    [
        ("finished", "finished", "finished"),
        ("failed", "failed", "finished"),
        ("interrupted", "interrupted", "interrupted"),
        ("running", "running", "running"),
        ("interrupted", "running", "interrupted"),
    ],
)
def test_the_state_of_a_sweep_follows_from_its_runs(
    runs_dir: Path,
    make_run: MakeRun,
    write_sweep: WriteSweep,
    run_state: str,
    member_state: str,
    expected: str,
) -> None:
    record = make_run(run_state)
    sweep = write_sweep("sweep", [record])
    members = [sweep.members[0].model_copy(update={"state": member_state})]
    owner = run_lock(runs_dir, record.run_hash) if run_state == "running" else nullcontext()
    with owner:
        assert sweep_state(runs_dir, sweep.model_copy(update={"members": members})) == expected


def test_a_sweep_killed_before_its_first_run_is_interrupted(
    runs_dir: Path, make_run: MakeRun, write_sweep: WriteSweep
) -> None:
    record = make_run("running")
    sweep = write_sweep("sweep", [record])
    shutil.rmtree(record.directory)
    assert sweep_state(runs_dir, sweep) == "interrupted"


@pytest.mark.parametrize("seconds", [1.0, pytest.param(30.0, marks=pytest.mark.slow)])
def test_a_locked_database_causes_no_failure_or_duplicate(
    tracked: Workspace,
    shown: MlflowStore,
    open_run: OpenRun,
    make_point: MakePoint,
    result: RunResult,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    monkeypatch.setattr(mlflow_index, "FLUSH_SECONDS", 0.0)
    index = open_workspace_index(tracked)
    run = open_run()
    mirror = index.start_run(read_run(run.path))
    database = tracked.tracking_uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(database, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(seconds, other.rollback)
        timer.start()
        for step in (1, 2, 3):
            run.add(make_point(step))
            mirror.add(make_point(step))
        run.finish(result)
        mirror.finish("finished")
        timer.join()
    assert not is_unsynced(run.path)
    assert_mirrored(shown, run.path)
    assert read_run(run.path).status.state == "finished"
    assert len(all_runs(shown)) == 1
