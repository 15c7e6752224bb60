import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow_runs import find_run, history
from run_makers import MakePoint, MakeRun, OpenRun, WriteSweep

from switchhead_lab.tracking import mlflow_index
from switchhead_lab.tracking.database_file import connect
from switchhead_lab.tracking.liveness import run_lock
from switchhead_lab.tracking.mlflow_copy import MlflowCopy
from switchhead_lab.tracking.mlflow_environment import ENVIRONMENT
from switchhead_lab.tracking.mlflow_index import (
    MlflowIndex,
    NoIndex,
    open_index,
    sync_run,
)
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.record import (
    RunResult,
    read_mlflow_link,
    read_run,
)
from switchhead_lab.tracking.unsynced import is_unsynced


def fail(*_arguments: object) -> None:
    raise ConnectionError("the tracker\nis down, postgresql://me:hunter2@host/db")


def test_a_run_is_mirrored_during_training(
    index: MlflowIndex,
    store: MlflowStore,
    open_run: OpenRun,
    make_point: MakePoint,
    result: RunResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **_: looked_up.append(a) or [])
    run = open_run()
    mirror = index.start_run(read_run(run.path))
    started = find_run(store, read_run(run.path))
    assert started.info.status == "RUNNING"
    assert started.data.params["model.d_model"] == "16"
    for step in (1, 2, 3):
        run.add(make_point(step))
        mirror.add(make_point(step))
    run.finish(result)
    mirror.finish("finished")

    ended = find_run(store, read_run(run.path))
    run_id = ended.info.run_id
    assert run_id == started.info.run_id
    assert ended.info.status == "FINISHED"
    assert ended.data.tags["lab.state"] == "finished"
    assert history(store, run_id, "train/loss_nats") == [(1, 3.0), (2, 1.5), (3, 1.0)]
    by_tokens = history(store, run_id, "by_tokens/train/loss_nats")
    assert by_tokens == [(64, 3.0), (128, 1.5), (192, 1.0)]
    assert ended.data.metrics["result/test_perplexity"] == 3.0
    artifacts = {file.path for file in store.client.list_artifacts(run_id)}
    assert artifacts == {
        "config.toml",
        "labels.json",
        "metrics.jsonl",
        "provenance.json",
        "result.json",
        "status.json",
        "uncommitted.diff",
    }
    assert not is_unsynced(run.path)
    assert looked_up == []


@pytest.mark.parametrize(
    ("state", "status"),
    [("failed", "FAILED"), ("pruned", "KILLED"), ("interrupted", "KILLED")],
)
def test_every_state_has_its_mlflow_status(
    index: MlflowIndex, store: MlflowStore, make_run: MakeRun, state: Any, status: str
) -> None:
    record = make_run(state)
    index.start_run(record).finish(state)
    run = find_run(store, record)
    assert run.info.status == status
    assert run.data.tags["lab.state"] == state


def test_a_resumed_run_continues_its_mlflow_run(
    index: MlflowIndex, store: MlflowStore, make_run: MakeRun, open_run: OpenRun
) -> None:
    first = make_run("interrupted")
    index.start_run(first, "parent").finish("interrupted")
    before = find_run(store, first)
    again = read_run(open_run().path)
    index.start_run(again, "parent")
    after = find_run(store, again)
    assert after.info.run_id == before.info.run_id
    assert after.info.status == "RUNNING"
    assert after.data.tags["lab.attempt"] == "2"
    assert after.data.tags["lab.state"] == "running"


def test_points_are_sent_in_batches(
    index: MlflowIndex,
    make_run: MakeRun,
    make_point: MakePoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(MlflowStore, "log", lambda _self, _id, rows: sent.append(len(list(rows))))
    monkeypatch.setattr(mlflow_index, "FLUSH_SECONDS", math.inf)
    mirror = index.start_run(make_run("running"))
    for step in range(1, 250):
        mirror.add(make_point(step))
    assert sent == [200, 200]
    monkeypatch.setattr(mlflow_index, "FLUSH_SECONDS", 0.0)
    mirror.add(make_point(250))
    assert sent == [200, 200, 100]


def test_replay_is_idempotent(index: MlflowIndex, store: MlflowStore, make_run: MakeRun) -> None:
    record = make_run()
    assert sync_run(index, record, "parent")
    first = find_run(store, record)
    assert sync_run(index, record)
    second = find_run(store, record)
    assert second.info.run_id == first.info.run_id
    assert second.data == first.data or second.data.to_dictionary() == first.data.to_dictionary()
    assert second.data.tags["mlflow.parentRunId"] == "parent"
    assert second.info.status == "FINISHED"
    for key in ("train/loss_nats", "by_tokens/train/loss_nats"):
        assert len(history(store, first.info.run_id, key)) == 3
    assert len(history(store, first.info.run_id, "result/n_steps")) == 1


def test_metrics_are_read_only_to_compare_a_copy(
    index: MlflowIndex, store: MlflowStore, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_run()
    reads: list[str] = []
    original = type(store).read

    def read(self: MlflowStore, run: Any) -> MlflowCopy:
        reads.append(run.info.run_id)
        return original(self, run)

    monkeypatch.setattr(MlflowStore, "read", read)
    with monkeypatch.context() as unread:
        unread.setattr(type(record), "metrics", lambda _record: pytest.fail("read at the start"))
        mirror = index.start_run(record)
    assert len(reads) == 0
    mirror.finish("finished")
    assert len(reads) == 2  # once to find what is missing, once to verify
    assert sync_run(index, record)
    assert len(reads) == 3


def test_a_replay_removes_points_that_are_not_on_disk(
    index: MlflowIndex, store: MlflowStore, open_run: OpenRun, make_point: MakePoint
) -> None:
    run = open_run()
    mirror = index.start_run(read_run(run.path), "parent")
    for step in (1, 2, 3):
        run.add(make_point(step))
        mirror.add(make_point(step))
    run.close("interrupted", 3)
    mirror.finish("interrupted")
    run = open_run()
    run.drop_metrics_after(1)
    run.add(make_point(2, value=7.0))
    run.close("failed", 2)
    record = read_run(run.path)
    assert sync_run(index, record)
    found = find_run(store, record)
    assert history(store, found.info.run_id, "train/loss_nats") == [(1, 3.0), (2, 7.0)]
    assert found.data.tags["mlflow.parentRunId"] == "parent"
    assert read_mlflow_link(run.path)["run_id"] == found.info.run_id


def test_a_replay_leaves_the_points_of_a_live_run(
    index: MlflowIndex, store: MlflowStore, open_run: OpenRun, make_point: MakePoint
) -> None:
    run = open_run()
    run.add(make_point(1))
    mirror = index.start_run(read_run(run.path))
    store.log(find_run(store, read_run(run.path)).info.run_id, [("a", 1.0, 5, 9)])
    with run_lock(run.path.parent, read_run(run.path).run_hash):
        assert sync_run(index, read_run(run.path))
    found = find_run(store, read_run(run.path))
    assert found.info.status == "RUNNING"
    assert history(store, found.info.run_id, "a") == [(9, 1.0)]
    assert history(store, found.info.run_id, "train/loss_nats") == [(1, 3.0)]
    assert mirror is not None


def test_training_survives_a_broken_tracker_and_a_replay_completes_the_copy(
    index: MlflowIndex,
    store: MlflowStore,
    open_run: OpenRun,
    make_point: MakePoint,
    result: RunResult,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = open_run()
    mirror = index.start_run(read_run(run.path))
    monkeypatch.setattr(mlflow_index, "FLUSH_SECONDS", 0.0)
    tries: list[object] = []

    def count_and_fail(*arguments: object) -> None:
        tries.append(arguments)
        fail()

    with monkeypatch.context() as broken:
        broken.setattr(MlflowStore, "log", count_and_fail)
        for step in (1, 2, 3):
            run.add(make_point(step))
            mirror.add(make_point(step))
        assert len(tries) == 1
        run.finish(result)
        mirror.finish("finished")
        assert not sync_run(index, read_run(run.path))
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert "ConnectionError: the tracker" in output
    assert "hunter2" not in output
    assert (run.path / "unsynced").read_text(encoding="utf-8") == "ConnectionError: the tracker\n"
    assert sync_run(index, read_run(run.path))
    assert not is_unsynced(run.path)
    found = find_run(store, read_run(run.path))
    assert found.info.status == "FINISHED"
    assert len(history(store, found.info.run_id, "train/loss_nats")) == 3


@pytest.mark.parametrize("method", ["begin_run", "log"])
def test_a_tracker_that_recovers_is_complete_at_the_end(
    index: MlflowIndex,
    store: MlflowStore,
    open_run: OpenRun,
    make_point: MakePoint,
    result: RunResult,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    monkeypatch.setattr(mlflow_index, "FLUSH_SECONDS", 0.0)
    run = open_run()
    with monkeypatch.context() as broken:
        broken.setattr(MlflowStore, method, fail)
        mirror = index.start_run(read_run(run.path), "parent")
        run.add(make_point(1))
        mirror.add(make_point(1))
    assert is_unsynced(run.path)
    run.add(make_point(2))
    mirror.add(make_point(2))
    run.finish(result)
    mirror.finish("finished")
    assert not is_unsynced(run.path)
    found = find_run(store, read_run(run.path))
    assert history(store, found.info.run_id, "train/loss_nats") == [(1, 3.0), (2, 1.5)]
    assert found.data.tags["mlflow.parentRunId"] == "parent"


def test_an_unusable_database_marks_runs(
    tmp_path: Path, make_run: MakeRun, write_sweep: WriteSweep
) -> None:
    (tmp_path / "bad.db").write_bytes(b"this is no database" * 100)
    for uri in (f"sqlite:///{tmp_path}/bad.db", "postgresql+psycopg://me:pw@127.0.0.1:9/lab"):
        index = open_index(uri, "test", tmp_path / "artifacts")
        record = make_run()
        index.start_run(record).finish("finished")
        assert is_unsynced(record.directory)
        assert index.start_sweep(write_sweep("s", [record]), tmp_path) is None


def test_a_server_that_is_down_marks_runs_and_keeps_the_environment(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "ERROR")
    record = make_run()
    open_index("http://127.0.0.1:9", "test", tmp_path).start_run(record).finish("finished")
    assert is_unsynced(record.directory)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == os.environ["DO_NOT_TRACK"] == "true"
    assert os.environ["MLFLOW_LOGGING_LEVEL"] == "ERROR"


def test_runs_are_linked_without_mlflow(
    index: MlflowIndex, store: MlflowStore, make_run: MakeRun
) -> None:
    record = make_run()
    assert read_mlflow_link(record.directory) is None
    index.start_run(record)
    link = read_mlflow_link(record.directory)
    assert link is not None
    assert set(link) == {"run_id", "experiment_id", "tracking_uri"}
    assert link["run_id"] == find_run(store, record).info.run_id


def test_tracking_uri_none_gives_an_index_that_does_nothing(
    tmp_path: Path, make_run: MakeRun, write_sweep: WriteSweep
) -> None:
    index = open_index("none", "test", tmp_path / "artifacts")
    assert isinstance(index, NoIndex)
    record = make_run()
    before = sorted(path.name for path in record.directory.iterdir())
    parent_id = index.start_sweep(write_sweep("s", [record]), tmp_path)
    index.start_run(record, parent_id).finish("finished")
    index.finish_sweep(tmp_path, "finished")
    assert sync_run(index, record)
    assert sorted(path.name for path in record.directory.iterdir()) == before


def test_artifacts_are_in_the_workspaces_folder(
    index: MlflowIndex, runs_dir: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs_dir)
    sync_run(index, make_run())
    assert len(list((runs_dir / "mlflow-artifacts").rglob("config.toml"))) == 1
    assert not (runs_dir / "mlruns").exists()


def test_the_database_keeps_a_write_ahead_log(template_database: Path) -> None:
    with connect(template_database) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_importing_the_index_imports_nothing_heavy() -> None:
    code = (
        "import sys, switchhead_lab.tracking.mlflow_index, switchhead_lab.tracking.run_summary; "
        "print([m for m in ('mlflow', 'torch', 'sqlalchemy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_processes_that_start_together_share_one_new_database(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from switchhead_lab.tracking.mlflow_index import open_index; "
        "folder = Path(sys.argv[1]); "
        "index = open_index(f'sqlite:///{folder}/mlflow.db', 'test', folder / 'artifacts'); "
        "assert index.attempt(lambda store: store.client.create_run(store.experiment_id))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(number)], stderr=-1)
        for number in range(4)
    ]
    output = [process.communicate()[1].decode() for process in processes]
    assert output == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
