"""Parent runs of sweeps in MLflow."""

from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow_runs import parent_of
from run_makers import MakeRun, WriteSweep

from switchhead_lab.tracking.liveness import run_lock
from switchhead_lab.tracking.mlflow_index import IN_PROGRESS, MlflowIndex
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.tracking.unsynced import is_unsynced, mark_unsynced


class StartedSweep(NamedTuple):
    """A sweep of one run that was started in MLflow."""

    record: SweepRecord
    run: RunRecord
    folder: Path
    parent_id: str


@pytest.fixture
def started(
    index: MlflowIndex,
    runs_dir: Path,
    make_run: MakeRun,
    write_sweep: WriteSweep,
) -> StartedSweep:
    run = make_run()
    record = write_sweep("sweep-1", [run])
    folder = SweepDir.of(runs_dir, record.sweep).path
    parent_id = index.start_sweep(record, folder)
    assert parent_id is not None
    return StartedSweep(record, run, folder, parent_id)


def test_sweeps_are_found_again(
    index: MlflowIndex,
    store: MlflowStore,
    runs_dir: Path,
    write_sweep: WriteSweep,
    started: StartedSweep,
) -> None:
    sweep, run, folder, parent_id = started
    assert is_unsynced(folder)
    assert store.client.get_run(parent_id).info.status == "RUNNING"
    index.start_run(run, parent_id)
    assert parent_of(store, run) == parent_id
    index.finish_sweep(folder, "finished")
    assert not is_unsynced(folder)
    assert index.start_sweep(sweep, folder) == parent_id
    index.finish_sweep(folder, "finished")
    other = write_sweep("sweep-2", [run])
    other_folder = SweepDir.of(runs_dir, other.sweep).path
    assert index.start_sweep(other, other_folder) not in (None, parent_id)
    parent = store.client.get_run(parent_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["size"] == "tiny"
    assert parent.data.tags["lab.sweep"] == "sweep-1"


def test_a_sweep_with_other_parameters_keeps_its_runs(
    index: MlflowIndex, store: MlflowStore, runs_dir: Path, started: StartedSweep
) -> None:
    record, run, folder, parent_id = started
    index.start_run(run, parent_id).finish("finished")
    more_seeds = record.sweep.baseline.model_copy(update={"seeds": [0, 1]})
    edited = record.model_copy(
        update={"sweep": record.sweep.model_copy(update={"baseline": more_seeds})}
    )
    assert SweepDir.of(runs_dir, edited.sweep).path == folder
    new_parent_id = index.start_sweep(edited, folder)
    assert new_parent_id is not None
    assert store.client.get_run(new_parent_id).data.params["baseline.seeds"] == "[0, 1]"
    assert parent_of(store, run) == new_parent_id


def test_a_sweep_copies_runs_of_a_killed_process(
    index: MlflowIndex,
    store: MlflowStore,
    runs_dir: Path,
    make_run: MakeRun,
    write_sweep: WriteSweep,
) -> None:
    finished, live = make_run(seed=1), make_run("running", seed=2)
    sweep = write_sweep("sweep-1", [finished, live])
    for run in (finished, live):
        mark_unsynced(run.directory, IN_PROGRESS)
    folder = SweepDir.of(runs_dir, sweep.sweep).path
    parent_id = index.start_sweep(sweep, folder)
    with run_lock(runs_dir, live.run_hash):
        index.finish_sweep(folder, "finished")
    assert not is_unsynced(finished.directory)
    assert parent_of(store, finished) == parent_id
    assert is_unsynced(live.directory)
