"""Runs in the object store: complete or not believed, and uploaded once."""

import json
import shutil
from pathlib import Path

import pytest
from object_store import with_store
from tiny_runs import StopAtFour, train, trained_once

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import StorageError
from switchhead_lab.tracking.artifact_store import ArtifactStore
from switchhead_lab.tracking.artifact_upload import (
    Uploads,
    is_uploaded,
    not_uploaded,
    upload_notice,
    upload_run,
)
from switchhead_lab.tracking.liveness import hold_run
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.stored_run import find_stored, missing_objects, read_marker


@pytest.fixture
def lab(workspace: Workspace, tmp_path: Path) -> Workspace:
    return with_store(workspace, f"file://{tmp_path}/store")


@pytest.fixture
def store(lab: Workspace) -> ArtifactStore:
    return ArtifactStore(lab.settings.artifacts_uri)


@pytest.fixture
def run(lab: Workspace, tiny_config) -> RunRecord:
    return trained_once(lab, tiny_config())


def written(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the keys that are written from now on."""
    keys: list[str] = []
    put, write = store.put, store.write
    monkeypatch.setattr(store, "put", lambda files: (keys.extend(files), put(files)))
    monkeypatch.setattr(store, "write", lambda key, data: (keys.append(key), write(key, data)))
    return keys


def test_every_file_is_uploaded_and_the_marker_last(run, lab, store, monkeypatch) -> None:
    keys = written(store, monkeypatch)
    assert not_uploaded(lab.runs_dir, store.address) == [run.directory]
    assert "1 run is not in" in str(upload_notice(lab.runs_dir, store.address))
    upload_run(store, run.directory)
    stored = find_stored(store, run.name).run
    assert stored is not None
    assert (stored.state, stored.attempt, keys[-1]) == ("finished", 1, stored.marker)
    assert set(stored.files) == {
        path.relative_to(run.directory).as_posix()
        for path in run.directory.rglob("*")
        if path.is_file() and path.name != "uploaded.json"
    }
    assert any("checkpoints/" in name for name in stored.files)
    assert missing_objects(stored, store.sizes("runs")) == []
    assert is_uploaded(run.directory, store.address)
    assert upload_notice(lab.runs_dir, store.address) is None


def test_uploading_again_writes_nothing(run, store, monkeypatch) -> None:
    upload_run(store, run.directory)
    (run.directory / "uploaded.json").unlink()
    keys = written(store, monkeypatch)
    upload_run(store, run.directory)
    assert keys == []


def test_an_upload_that_is_cut_short_is_not_believed_and_made_up_for(
    run, lab, store, monkeypatch
) -> None:
    put = store.put

    def cut(files) -> None:
        put(dict(list(files.items())[:3]))
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "put", cut)
    with pytest.raises(KeyboardInterrupt):
        upload_run(store, run.directory)
    found = find_stored(store, run.name)
    assert (found.run, found.n_incomplete) == (None, 1)
    assert not_uploaded(lab.runs_dir, store.address) == [run.directory]
    monkeypatch.undo()
    keys = written(store, monkeypatch)
    Uploads(lab, pytest.fail).catch_up()
    upload_run(store, run.directory)
    assert keys == []
    assert find_stored(store, run.name).run is not None


def test_a_changed_run_is_uploaded_again_with_what_others_added(run, lab, store) -> None:
    (run.directory / "extra.json").write_text("{}")
    upload_run(store, run.directory)
    (run.directory / "extra.json").unlink()
    (run.directory / "router_use.json").write_text("{}")
    assert not_uploaded(lab.runs_dir, store.address) == [run.directory]
    upload_run(store, run.directory)
    stored = find_stored(store, run.name).run
    assert stored is not None
    assert {"extra.json", "router_use.json"} <= set(stored.files)


def test_of_two_hosts_with_the_same_attempt_the_later_start_counts(run, store) -> None:
    upload_run(store, run.directory)
    status = run.directory / "status.json"
    values = json.loads(status.read_text())
    for seconds, host in ((-60, "early"), (60, "late")):
        started_at = run.status.started_at + seconds
        status.write_text(json.dumps({**values, "started_at": started_at, "host": host}))
        upload_run(store, run.directory)
        assert is_uploaded(run.directory, store.address)
        stored = read_marker(store, run.name, 1)
        assert stored is not None
        assert stored.host == ("late" if host == "late" else values["host"])


def test_a_file_that_changes_meanwhile_leaves_no_marker(run, store, monkeypatch) -> None:
    put = store.put

    def changing(files) -> None:
        put(files)
        (run.directory / "metrics.jsonl").write_text("")

    monkeypatch.setattr(store, "put", changing)
    with pytest.raises(StorageError, match="changed during the upload"):
        upload_run(store, run.directory)
    assert read_marker(store, run.name, 1) is None


def test_only_ended_runs_that_nobody_holds_are_uploaded(lab, store, tiny_config) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(lab, tiny_config(), [StopAtFour()])
    assert not_uploaded(lab.runs_dir, store.address) == []
    run = train(lab, tiny_config())
    with hold_run(lab.runs_dir, run.run_hash):
        Uploads(lab, pytest.fail).catch_up()
    assert find_stored(store, run.name).run is None


def test_a_failing_store_is_a_warning_with_the_next_step(run, lab, tmp_path) -> None:
    (tmp_path / "store").write_text("not a folder")
    said: list[str] = []
    Uploads(lab, said.append).catch_up()
    (line,) = said
    assert line.startswith(f"warning: {run.name}: not uploaded: file://")
    assert "`lab doctor --fix` uploads it later" in line
    (tmp_path / "store").unlink()
    Uploads(lab, pytest.fail).catch_up()
    assert not_uploaded(lab.runs_dir, lab.settings.artifacts_uri) == []


def test_another_store_gets_the_runs_too(run, lab, store, tmp_path) -> None:
    upload_run(store, run.directory)
    other = f"file://{tmp_path}/other"
    assert not_uploaded(lab.runs_dir, other) == [run.directory]
    shutil.copytree(lab.runs_dir, tmp_path / "copied")
    assert not_uploaded(tmp_path / "copied", store.address) == []
