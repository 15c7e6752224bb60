"""After any interruption, a replay makes MLflow equal to the disk, point by point."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow_runs import all_runs, assert_mirrored, find_run, find_sweep, history
from run_makers import MakePoint, MakeRun, OpenRun, WriteSweep

from switchhead_lab.errors import RecordError
from switchhead_lab.tracking import mlflow_index
from switchhead_lab.tracking.file_names import UNSYNCED_FILE
from switchhead_lab.tracking.liveness import run_lock
from switchhead_lab.tracking.mlflow_copy import copy_of_sweep, differences
from switchhead_lab.tracking.mlflow_index import IN_PROGRESS, MlflowIndex, sync_run
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.record import MetricPoint, RunLabels, RunRecord, RunResult, read_run
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.unsynced import is_unsynced

# A method of MLflow's client and its first failing call; later calls fail too.
FAULTS = [
    ("search_runs", 0),
    ("search_runs", 1),
    ("create_run", 0),
    ("log_batch", 0),
    ("log_batch", 1),
    ("log_artifact", 0),
    ("log_artifact", 1),
    ("set_terminated", 0),
    ("get_run", 0),
]


def assert_only_copy(store: MlflowStore, directory: Path) -> Any:
    """Check that MLflow has an exact copy of one run directory and no other run."""
    assert len(all_runs(store)) == 1
    return assert_mirrored(store, directory)


def add(run: RunDir, mirror: Any, point: MetricPoint) -> None:
    run.add(point)
    mirror.add(point)


def test_steps_repeated_after_an_interruption_are_stored_once(
    index: MlflowIndex,
    store: MlflowStore,
    open_run: OpenRun,
    make_point: MakePoint,
    result: RunResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mlflow_index, "FLUSH_SECONDS", 0.0)
    run = open_run()
    mirror = index.start_run(read_run(run.path))
    for step in (20, 25):
        add(run, mirror, make_point(step))
    run.close("interrupted", 28)
    mirror.finish("interrupted")
    assert_only_copy(store, run.path)
    run = open_run()
    mirror = index.start_run(read_run(run.path))
    run.drop_metrics_after(20)
    add(run, mirror, make_point(25, time=1_700_000_500.0))
    while_running = find_run(store, read_run(run.path))
    points = history(store, while_running.info.run_id, "train/loss_nats")
    assert [step for step, _ in points] == [20, 25]
    run.finish(result)
    mirror.finish("finished")
    assert_only_copy(store, run.path)


def test_the_next_attempt_completes_a_killed_one(
    index: MlflowIndex,
    store: MlflowStore,
    open_run: OpenRun,
    make_point: MakePoint,
    result: RunResult,
) -> None:
    run = open_run()
    mirror = index.start_run(read_run(run.path))
    for step in range(1, 9):
        add(run, mirror, make_point(step))
    del mirror  # as if killed: the rest is never sent
    run = open_run()
    mirror = index.start_run(read_run(run.path))
    for step in range(9, 13):
        add(run, mirror, make_point(step))
    run.finish(result)
    mirror.finish("finished")
    found = assert_only_copy(store, run.path)
    points = history(store, found.info.run_id, "train/loss_nats")
    assert [step for step, _ in points] == list(range(1, 13))


@pytest.mark.parametrize("error", [ConnectionError("down"), KeyboardInterrupt()])
@pytest.mark.parametrize(("method", "call"), FAULTS)
def test_a_failure_in_any_call_is_marked_and_repaired(
    index: MlflowIndex,
    store: MlflowStore,
    runs_dir: Path,
    tiny_config: Callable[..., Any],
    make_point: MakePoint,
    result: RunResult,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    call: int,
    error: BaseException,
) -> None:
    original = getattr(type(store.client), method)
    calls = iter(range(1000))

    def fail_from_now_on(*arguments: Any, **options: Any) -> Any:
        if next(calls) >= call:
            raise error
        return original(*arguments, **options)

    labels = RunLabels(size="tiny", variant="dense")
    run = RunDir.open(runs_dir, tiny_config(), labels, {}, b"", unsynced_mark=index.unsynced_mark)
    with monkeypatch.context() as broken:
        broken.setattr(type(store.client), method, fail_from_now_on)
        try:
            mirror = index.start_run(read_run(run.path))
            for step in (1, 2):
                add(run, mirror, make_point(step))
            run.finish(result)
            mirror.finish("finished")
        except KeyboardInterrupt:
            run.close("interrupted", 2)
    assert next(calls) > call
    assert is_unsynced(run.path)
    assert sync_run(index, read_run(run.path))
    assert not is_unsynced(run.path)
    assert_only_copy(store, run.path)


def test_an_attempt_is_marked_until_its_copy_is_verified(
    index: MlflowIndex,
    runs_dir: Path,
    tiny_config: Callable[..., Any],
    result: RunResult,
    make_point: MakePoint,
) -> None:
    labels = RunLabels(size="tiny", variant="dense")
    for _ in range(2):
        run = RunDir.open(runs_dir, tiny_config(), labels, {}, b"", unsynced_mark=IN_PROGRESS)
        assert is_unsynced(run.path)
        mirror = index.start_run(read_run(run.path))
        add(run, mirror, make_point(1))
        assert is_unsynced(run.path)
        run.finish(result)
        mirror.finish("finished")
        assert not is_unsynced(run.path)


def test_a_replay_of_a_live_run_leaves_its_mark(index: MlflowIndex, make_run: MakeRun) -> None:
    record = make_run("running")
    (record.directory / UNSYNCED_FILE).write_text(IN_PROGRESS, encoding="utf-8")
    with run_lock(record.directory.parent, record.run_hash):
        assert sync_run(index, record)
    assert is_unsynced(record.directory)


def test_an_attempt_that_starts_during_a_replay_keeps_its_mark(
    index: MlflowIndex, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_run("interrupted")
    mark = record.directory / UNSYNCED_FILE
    mark.write_text("MLflow was down\n", encoding="utf-8")
    original = MlflowStore.replay_run

    def start_another(*arguments: Any, **options: Any) -> str:
        mark.write_text(IN_PROGRESS, encoding="utf-8")
        return original(*arguments, **options)

    monkeypatch.setattr(MlflowStore, "replay_run", start_another)
    assert sync_run(index, record)
    assert mark.read_text(encoding="utf-8") == IN_PROGRESS


def test_the_mark_is_kept_if_the_copy_still_differs(
    index: MlflowIndex,
    store: MlflowStore,
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = make_run()
    monkeypatch.setattr(MlflowStore, "log", lambda *_: None)
    with pytest.raises(RecordError, match="differs from the disk .*at step 1 is missing.* 15 more"):
        store.replay_run(record, None, "finished")
    assert not sync_run(index, record)
    assert is_unsynced(record.directory)
    assert "differs from the disk" in capsys.readouterr().err


def test_duplicate_runs_of_colliding_processes_are_removed(
    index: MlflowIndex, store: MlflowStore, make_run: MakeRun
) -> None:
    record = make_run()
    tags = {"lab.run_hash": record.run_hash}
    for start in (1, 2, 3):
        store.client.create_run(store.experiment_id, start, tags)
    assert sync_run(index, record)
    assert_only_copy(store, record.directory)


@pytest.fixture
def synced(index: MlflowIndex, store: MlflowStore, make_run: MakeRun) -> RunRecord:
    """A copied run whose copy has a tag that is not on disk."""
    record = make_run()
    assert sync_run(index, record)
    store.client.set_tag(find_run(store, record).info.run_id, "lab.obsolete", "1")
    return record


def test_a_rebuilt_run_keeps_a_users_notes(
    index: MlflowIndex, store: MlflowStore, synced: RunRecord
) -> None:
    before = find_run(store, synced)
    store.client.set_tag(before.info.run_id, "mlflow.note.content", "the good one")
    store.log(before.info.run_id, [("train/loss_nats", 9.0, 1, 1)])
    sync_run(index, synced)
    after = assert_only_copy(store, synced.directory)
    assert after.data.tags["mlflow.note.content"] == "the good one"
    assert after.info.run_id != before.info.run_id


def test_differences_that_mlflow_can_change_are_corrected_in_place(
    index: MlflowIndex, store: MlflowStore, synced: RunRecord
) -> None:
    before = find_run(store, synced)
    store.client.update_run(before.info.run_id, status="RUNNING", name="renamed")
    path = synced.directory / "labels.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    sync_run(index, synced)
    assert assert_only_copy(store, synced.directory).info.run_id == before.info.run_id


def test_the_parent_run_of_a_sweep_is_mirrored(
    index: MlflowIndex,
    store: MlflowStore,
    runs_dir: Path,
    make_run: MakeRun,
    write_sweep: WriteSweep,
) -> None:
    sweep = write_sweep("sweep", [make_run()], 7.25)
    folder = SweepDir.of(runs_dir, sweep.sweep).path
    index.start_sweep(sweep, folder)
    index.finish_sweep(folder, "interrupted")
    found = find_sweep(store, sweep)
    assert differences(copy_of_sweep(sweep, "interrupted"), store.read(found)) == []
