"""A sweep of workers on two hosts, which share nothing but a PostgreSQL database."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from lab_processes import SECONDS, lab, start, wait_until
from postgresql import PASSWORD
from tiny_sweep import SWEEP

from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.data.token_store import register

VANISHED = 10


@pytest.fixture
def hosts(tmp_path: Path, database: str, write_corpus) -> tuple[Workspace, Workspace]:
    """Two workspaces with the same settings, sweep and data."""
    first = tmp_path / "first"
    (first / "sweeps").mkdir(parents=True)
    (first / "lab.toml").write_text(
        f'device = "cpu"\ndatabase = "{database}"\nvanished_seconds = {VANISHED}\n'
    )
    (first / "sweeps" / "tiny.toml").write_text(SWEEP)
    register(first / "data", write_corpus(tmp_path / "words.txt"), "words")
    shutil.copytree(first, tmp_path / "second")
    return (
        find_workspace(first, environment={}),
        find_workspace(tmp_path / "second", environment={}),
    )


def states(workspace: Workspace) -> dict[str, str]:
    """Return the state of each run by the copy of the record on a host."""
    (path,) = (workspace.runs_dir / "sweeps").glob("*/sweep.json")
    members = json.loads(path.read_text())["members"]
    return {f"{m['role']} {m['model']} {m['run_hash']}": m["state"] for m in members}


def results(workspace: Workspace) -> set[str]:
    return {path.parent.name for path in workspace.runs_dir.glob("*/result.json")}


@pytest.mark.thorough
def test_two_hosts_share_a_sweep_and_no_secret_is_written(hosts, tmp_path) -> None:
    first, second = hosts
    text = lab(first, "init")
    assert "Optuna: postgresql" in text
    workers = [start(host, "worker", "tiny") for host in hosts]
    for worker in workers:
        output, errors = worker.communicate(timeout=SECONDS)
        assert worker.returncode == 0, output + errors
    assert set(states(first).values()) == {"finished"}
    trained = [results(host) for host in hosts]
    # A candidate's first run is also the best's, and models may share their runs.
    assert len(trained[0] | trained[1]) == len({key.split()[-1] for key in states(first)})
    assert not trained[0] & trained[1], "no run is trained twice"
    (status,) = json.loads(lab(second, "sweep", "status", "tiny", "--json"))
    assert (status["workers"], status["failed"]) == ([], [])
    written = (p for p in tmp_path.rglob("*") if p.is_file())
    assert not any(PASSWORD.encode() in path.read_bytes() for path in written)


@pytest.mark.thorough
def test_a_suspended_worker_is_replaced_and_records_nothing_later(hosts) -> None:
    first, second = hosts
    suspended = start(first, "worker", "tiny")
    try:
        wait_until(lambda: any(first.runs_dir.glob("words-*/status.json")))
        suspended.send_signal(signal.SIGSTOP)
        lab(second, "worker", "tiny")
        after = states(second)
        assert set(after.values()) == {"finished"}
        suspended.send_signal(signal.SIGCONT)
        _, errors = suspended.communicate(timeout=SECONDS)
    finally:
        suspended.kill()
        suspended.communicate()
    lab(second, "sweep", "status", "tiny")  # refreshes the copy of the record
    assert states(second) == after
    assert "taken over" in errors
