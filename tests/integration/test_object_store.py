"""Hosts that share an object store: a real S3 server, and two workspaces."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import lab
from object_store import BUCKET, SECRET, S3Server, second_host, with_store
from tiny_runs import trained_once
from tiny_sweep import DECLARATION, shortest_sweep

from switchhead_lab.config.files import parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.data.token_store import register
from switchhead_lab.errors import RecordError
from switchhead_lab.sweeping import executor, worker
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.tracking import artifact_store
from switchhead_lab.tracking.artifact_store import ArtifactStore
from switchhead_lab.tracking.artifact_upload import Uploads, not_uploaded
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.stored_run import find_stored
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.upkeep.fetching import RunFetcher
from switchhead_lab.upkeep.store_health import examine_store, mend_store

TWO_HEADS = """
[[models]]
kind = "dense"
name = "two-heads"
n_heads = 2
"""
SWEEP = shortest_sweep(TWO_HEADS, n_steps=2)


@pytest.fixture
def first(workspace: Workspace, s3: S3Server) -> Workspace:
    (workspace.sweeps_dir / "tiny.toml").write_text(SWEEP)
    return with_store(workspace, f"s3://{BUCKET}/lab")


def share_record(source: Workspace, target: Workspace) -> None:
    """Copy the records of sweeps, as a database would."""
    shutil.copytree(source.runs_dir / "sweeps", target.runs_dir / "sweeps", dirs_exist_ok=True)


def results(workspace: Workspace) -> set[str]:
    return {path.parent.name for path in workspace.runs_dir.glob("*/result.json")}


def test_a_report_has_the_runs_of_another_host_and_no_secret_is_written(
    first: Workspace, s3: S3Server, tmp_path: Path
) -> None:
    outputs = [lab("sweep", "tiny", cwd=first.root)]
    second = second_host(first, tmp_path / "second")
    share_record(first, second)
    listed = lab("runs", "list", cwd=second.root)
    assert "2 runs of sweeps are on other hosts only" in listed.stdout
    name, *_ = sorted(results(first))
    key = next(key for key in s3.objects() if f"{name}/1/result.json" in key)
    s3.put(key, b"damaged")
    refused = lab("report", "tiny", cwd=second.root, code=2)
    assert f"s3://{BUCKET}/{key}: damaged: 7 bytes" in refused.stderr
    assert "Delete the object, then `lab doctor --fix`" in refused.stderr
    assert results(second) == results(first) - {name}, "the report has a gap"
    s3.delete(key)
    assert mend_store(first, examine_store(first))[1]
    outputs += [listed, refused, lab("report", "tiny", "--strict", cwd=second.root)]
    assert results(second) == results(first)
    assert not list(second.runs_dir.glob("*/checkpoints"))
    outputs.append(lab("verify", name, cwd=second.root))
    assert "weights fetched" in outputs[-1].stderr
    assert all(SECRET not in one.stdout + one.stderr for one in outputs)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in data for data in [*written, *s3.objects().values()])


def test_a_store_that_is_down_costs_nothing_and_is_made_up_for(
    first: Workspace, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    options = artifact_store._S3_OPTIONS["config_kwargs"]
    monkeypatch.setitem(options, "retries", {"max_attempts": 0})  # they take a second each
    done = lab("sweep", "tiny", cwd=first.root, code=3)
    assert len(results(first)) == 2
    assert "`lab doctor --fix` uploads it later" in done.stderr
    assert f"2 runs are not in s3://{BUCKET}/lab yet: lab doctor --fix" in done.stderr
    assert s3.objects() == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.address)
    done = lab("doctor", "--fix", cwd=first.root)
    assert " ".join(done.stdout.split()).count("uploaded to s3://") == 2
    store = ArtifactStore(first.settings.artifacts_uri)
    assert all(find_stored(store, name).run for name in results(first))


def test_a_host_that_starts_alone_trains_nothing_again(
    first: Workspace, s3: S3Server, tmp_path: Path, write_corpus, monkeypatch
) -> None:
    lab("sweep", "tiny", cwd=first.root)
    second = second_host(first, tmp_path / "second")
    (second.root / "sweeps").mkdir()
    (second.root / "sweeps" / "tiny.toml").write_text(SWEEP)
    register(second.data_dir, write_corpus(tmp_path / "words.txt"), "words")
    share_record(first, second)
    with monkeypatch.context() as context:
        context.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        done = lab("worker", "tiny", cwd=second.root, code=2)
        assert f"s3://{BUCKET}/lab: cannot be listed" in done.stderr
    lab("worker", "tiny", cwd=second.root)
    for name in results(first):
        stored = [host.runs_dir / name / "status.json" for host in (first, second)]
        assert stored[0].read_bytes() == stored[1].read_bytes()


AGAIN = {"kind": "dense", "name": "again", "n_heads": 4, "initial_weights": "dense"}


def declared(*models: dict[str, object]) -> Sweep:
    return parse(Sweep, {**DECLARATION, "models": list(models)}, "test")


@pytest.fixture
def hosts(workspace: Workspace, tmp_path: Path, write_corpus) -> tuple[Workspace, Workspace]:
    """Two hosts with a folder as a store, of which the first has trained the baseline."""
    first = with_store(workspace, f"file://{tmp_path}/store")
    run_sweep(first, declared(), NoIndex(), lambda _line: None)
    second = second_host(first, tmp_path / "second")
    register(second.data_dir, write_corpus(tmp_path / "words.txt"), "words")
    share_record(first, second)
    return first, second


def share(workspace: Workspace, say: Callable[[str], None] = lambda _line: None) -> SweepRecord:
    fetcher = RunFetcher(workspace, lambda _line: None)
    return run_sweep(workspace, declared(AGAIN), NoIndex(), say, fetcher=fetcher)


def test_a_model_of_a_sweep_starts_from_the_weights_of_another_host(hosts) -> None:
    first, second = hosts
    record = share(second)
    assert {member.state for member in record.members} == {"finished"}
    trained = {name for name in results(second) if not (first.runs_dir / name).exists()}
    assert len(trained) == 1, "the source is not trained again"
    store = ArtifactStore(second.settings.artifacts_uri)
    assert all(find_stored(store, name).run for name in trained)


def test_an_upload_of_a_source_is_waited_for_and_no_run_is_dropped(
    hosts, tmp_path: Path, monkeypatch
) -> None:
    """The source finishes on the other host while a worker runs here; its upload follows."""
    _, second = hosts
    monkeypatch.setattr(executor, "requeued", lambda record, *_: record)
    (tmp_path / "store").rename(tmp_path / "later")

    def say(line: str) -> None:
        if line.endswith("waiting for its upload by another host"):
            (tmp_path / "later").rename(tmp_path / "store")

    done = share(second, say)
    again = [member for member in done.members if member.model == "again"]
    assert [member.state for member in again] == ["finished"]
    shutil.rmtree(tmp_path / "store")
    for name in results(second):
        shutil.rmtree(second.runs_dir / name)
    monkeypatch.setattr(worker, "_UPLOAD_SECONDS", 0.0)
    with pytest.raises(RecordError, match="finished on another host, but the object store lacks"):
        share(second)
    (path,) = second.runs_dir.glob("sweeps/*/sweep.json")
    assert {one["model"] for one in json.loads(path.read_text())["members"]} == {"dense", "again"}


KILLED = """
import os, signal, sys
from pathlib import Path
from switchhead_lab.tracking.artifact_store import ArtifactStore
from switchhead_lab.tracking.artifact_upload import upload_run

store = ArtifactStore(sys.argv[1])
put = store.put

def half(files):
    put(dict(list(files.items())[: len(files) // 2]))
    os.kill(os.getpid(), signal.SIGKILL)

store.put = half
upload_run(store, Path(sys.argv[2]))
"""


def test_an_upload_killed_half_way_is_not_believed_and_done_again(
    first: Workspace, s3: S3Server, tiny_config
) -> None:
    run = trained_once(first, tiny_config())
    address = first.settings.artifacts_uri
    done = subprocess.run(
        [sys.executable, "-c", KILLED, address, str(run.directory)],
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    half = set(s3.objects())
    assert half
    assert not any(key.endswith("complete.json") for key in half)
    store = ArtifactStore(address)
    assert find_stored(store, run.name).run is None
    assert not_uploaded(first.runs_dir, address) == [run.directory]
    Uploads(first, pytest.fail).catch_up()
    assert half < set(s3.objects())
    assert find_stored(store, run.name).run is not None


@pytest.mark.thorough
def test_a_report_refreshes_the_record_from_the_database(
    first: Workspace, s3: S3Server, tmp_path: Path, database: str
) -> None:
    settings = first.root / "lab.toml"
    settings.write_text(f'{settings.read_text()}database = "{database}"\n')
    first = find_workspace(first.root, environment={})
    second = second_host(first, tmp_path / "second")
    said = lab("init", cwd=second.root).stdout
    assert f"run directories: s3://{BUCKET}/lab can be written and read" in said
    lab("worker", "tiny", cwd=first.root)
    assert "2 runs of sweeps are on other hosts" in lab("runs", "list", cwd=second.root).stdout
    lab("report", "tiny", "--strict", cwd=second.root)
    assert results(second) == results(first)
    (path,) = second.runs_dir.glob("sweeps/*/sweep.json")
    assert {member["state"] for member in json.loads(path.read_text())["members"]} == {"finished"}
