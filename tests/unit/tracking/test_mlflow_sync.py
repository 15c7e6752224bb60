from collections.abc import Callable
from pathlib import Path

import pytest

from switchhead_lab.config.workspace import Workspace, WorkspaceSettings
from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking.mlflow_index import EXPERIMENT
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.mlflow_sync import sync_workspace
from switchhead_lab.tracking.record import UNSYNCED_FILE, RunRecord
from switchhead_lab.tracking.sweep_record import SweepRecord, sweep_id

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

MakeRun = Callable[..., RunRecord]
WriteSweep = Callable[..., SweepRecord]


@pytest.fixture
def tracked(tracking_uri: str, tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, WorkspaceSettings(tracking_uri=tracking_uri))


@pytest.fixture
def shown(tracked: Workspace) -> MlflowStore:
    """What MLflow has of the workspace."""
    return MlflowStore(tracked.tracking_uri, EXPERIMENT, tracked.runs_dir / "mlflow-artifacts")


def parent_of(store: MlflowStore, record: RunRecord) -> str | None:
    run = store.find("lab.run_hash", record.run_hash)
    assert run is not None
    return run.data.tags.get("mlflow.parentRunId")


def test_mlflow_is_rebuilt_with_its_sweeps(
    tracked: Workspace, shown: MlflowStore, make_run: MakeRun, write_sweep: WriteSweep
) -> None:
    shared, second, alone = make_run(), make_run(seed=1), make_run("failed", seed=2)
    later = write_sweep("later", [shared, second], started_at=2.0)
    earlier = write_sweep("earlier", [shared], started_at=1.0)
    for _ in range(2):
        assert sync_workspace(tracked, [shared, second, alone]) == 3
        first_sweep = shown.find("lab.sweep_id", sweep_id(earlier.sweep))
        second_sweep = shown.find("lab.sweep_id", sweep_id(later.sweep))
        assert first_sweep is not None
        assert second_sweep is not None
        assert first_sweep.info.status == "FINISHED"
        assert first_sweep.data.tags["lab.matching"] == "parameter_matched"
        assert first_sweep.data.params["baseline.n_heads"] == "4"
        assert parent_of(shown, shared) == first_sweep.info.run_id
        assert parent_of(shown, second) == second_sweep.info.run_id
        assert parent_of(shown, alone) is None
    assert len(shown.client.search_runs([shown.experiment_id])) == 5


def test_only_marked_runs_if_asked(
    tracked: Workspace, shown: MlflowStore, make_run: MakeRun
) -> None:
    marked, other = make_run(), make_run(seed=1)
    (marked.directory / UNSYNCED_FILE).write_text("why\n", encoding="utf-8")
    assert sync_workspace(tracked, [marked, other], only_unsynced=True) == 1
    assert shown.find("lab.run_hash", other.run_hash) is None
    assert sync_workspace(tracked, [marked, other], only_unsynced=True) == 0


def test_runs_that_could_not_be_copied_are_counted(
    tracked: Workspace, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = make_run(), make_run(seed=1)
    (bad.directory / "config.toml").write_text("{", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="1 of 2 runs could not be copied"):
        sync_workspace(tracked, [bad, good])


def test_without_mlflow_there_is_nothing_to_copy_to(tmp_path: Path, make_run: MakeRun) -> None:
    workspace = Workspace(tmp_path, WorkspaceSettings(tracking_uri="none"))
    with pytest.raises(WorkspaceError, match="no MLflow to copy to"):
        sync_workspace(workspace, [make_run()])
