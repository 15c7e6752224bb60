"""`lab doctor` finds what the object store lacks, and uploads it."""

import json
from pathlib import Path

import pytest
from command_line import lab
from object_store import with_store
from tiny_runs import trained_once

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.tracking.artifact_store import ArtifactStore
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.stored_run import find_stored
from switchhead_lab.upkeep.store_health import examine_store, mend_store


@pytest.fixture
def host(workspace: Workspace, tmp_path: Path) -> Workspace:
    return with_store(workspace, f"file://{tmp_path}/store")


@pytest.fixture
def run(host: Workspace, tiny_config) -> RunRecord:
    return trained_once(host, tiny_config())


def lines(host: Workspace, *options: str, code: int = 0) -> list[str]:
    findings = json.loads(lab("doctor", *options, "--json", cwd=host.root, code=code).stdout)
    subjects = ("object store", "upload", "mended", "not mended")
    return [one["finding"] for one in findings if one["subject"] in subjects]


def test_runs_that_were_not_uploaded_are_named_and_uploaded(run, host) -> None:
    address = host.settings.artifacts_uri
    fine = f"{address}: can be written and read"
    assert lines(host) == [fine, f"{run.name} was not uploaded"]
    uploaded = [fine, f"{run.name} was not uploaded", f"{run.name}: uploaded to {address}"]
    assert lines(host, "--fix") == uploaded
    assert lines(host, "--fix") == [fine]
    (run.directory / "router_use.json").write_text("{}")
    assert lines(host)[1].startswith(f"{run.name} has changed since its upload")


def test_what_the_store_lost_is_uploaded_again(run, host) -> None:
    store = ArtifactStore(host.settings.artifacts_uri)
    mend_store(host, examine_store(host))
    stored = find_stored(store, run.name).run
    assert stored is not None
    assert examine_store(host).due == {}
    faults = {
        stored.key("result.json"): "the store lacks 1 file of it",
        stored.marker: "the mark of its completion is missing or damaged",
    }
    for key, fault in faults.items():
        Path(store.where(key).removeprefix("file://")).unlink()
        assert fault in examine_store(host).due[run.name]
        _, has_all = mend_store(host, examine_store(host))
        assert has_all
        assert examine_store(host).due == {}
    store.write(stored.marker, b"{")
    assert "damaged" in examine_store(host).due[run.name]
    assert mend_store(host, examine_store(host))[1]
    assert find_stored(store, run.name).run == stored


def test_a_store_that_fails_is_named_and_exit_code_3(run, host, tmp_path) -> None:
    (tmp_path / "store").write_text("not a folder")
    found = lines(host, "--fix", code=3)
    assert "cannot be written" in found[0]
    assert found[1:] == [f"{run.name} was not uploaded"]


def test_without_a_store_nothing_is_said(workspace) -> None:
    health = examine_store(workspace)
    assert (health.address, health.due, mend_store(workspace, health)) == ("", {}, ([], True))
