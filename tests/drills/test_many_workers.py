"""Drills: workers that share a sweep are killed, suspended and started together.

Nothing may show it: the sweep ends like one that a single process ran undisturbed. Minutes long:
`make drill`. The number of kills is DRILL_KILLS, 50 by default.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_outcome import assert_mirrored, outcome, sweep_record
from test_kills import OVERRIDES, lab, make_workspace

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.tracking.record import read_run
from switchhead_lab.tracking.sweep_dir import SweepDir

pytestmark = pytest.mark.drill

N_KILLS = int(os.environ.get("DRILL_KILLS", "50"))
N_WORKERS, N_STARTED_TOGETHER, N_STARTS = 3, 4, 10
VALUES = (*OVERRIDES, "studies.switchhead.n_parallel=2", "studies.switchhead.n_trials=5")
OPTIONS = ("matched-params", *(word for value in VALUES for word in ("--set", value)))
SECONDS = 600.0


def start_worker(workspace: Workspace) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "switchhead_lab", "worker", *OPTIONS],
        cwd=workspace.root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Outcome of an undisturbed sweep by one process."""
    whole = make_workspace(tmp_path_factory.mktemp("whole"))
    os.environ["OMP_NUM_THREADS"] = "1"
    lab(whole.root, "sweep", *OPTIONS)
    return sorted_outcome(whole)


def sorted_outcome(workspace: Workspace) -> dict[str, object]:
    """Return the outcome without the order in which runs were requested."""
    found = outcome(workspace)
    members = found["members"]
    assert isinstance(members, list)
    return {**found, "members": sorted(members)}


def assert_undisturbed(workspace: Workspace, expected: dict[str, object]) -> None:
    lab(workspace.root, "runs", "sync")
    assert sorted_outcome(workspace) == expected
    assert_mirrored(workspace)
    for member in sweep_record(workspace).members:
        assert read_run(workspace.runs_dir / member.run_name).provenance["drift"] == []


def finish(workers: list[subprocess.Popen[str]]) -> None:
    for worker in workers:
        _, errors = worker.communicate(timeout=SECONDS)
        assert worker.returncode == 0, errors


def test_kills_of_three_workers_change_nothing(tmp_path: Path, expected) -> None:
    generator = random.Random(0)
    n_kills = number = 0
    while n_kills < N_KILLS:
        number += 1
        workspace = make_workspace(tmp_path / f"killed-{number}")
        workers = [start_worker(workspace) for _ in range(N_WORKERS)]
        while n_kills < N_KILLS and any(worker.poll() is None for worker in workers):
            time.sleep(generator.uniform(1.0, 12.0))
            place = generator.randrange(N_WORKERS)
            if workers[place].poll() is not None:
                continue
            workers[place].kill()
            workers[place].communicate()
            n_kills += 1
            workers[place] = start_worker(workspace)
        finish(workers)
        assert_undisturbed(workspace, expected)


def test_workers_that_start_together_on_an_empty_store_all_work(tmp_path: Path, expected) -> None:
    for number in range(N_STARTS):
        workspace = make_workspace(tmp_path / f"together-{number}")
        finish([start_worker(workspace) for _ in range(N_STARTED_TOGETHER)])
        assert_undisturbed(workspace, expected)


def test_a_suspended_worker_keeps_its_run_and_finishes_it(tmp_path: Path, expected) -> None:
    workspace = make_workspace(tmp_path / "suspended")
    first = start_worker(workspace)
    directory = wait_for_a_run(workspace)
    first.send_signal(signal.SIGSTOP)
    second = start_worker(workspace)
    try:
        wait_until_only_one_trains(directory, first.pid)
        first.send_signal(signal.SIGCONT)
        finish([first, second])
    finally:
        for worker in (first, second):
            worker.kill()
            worker.communicate()
    assert_undisturbed(workspace, expected)


def wait_until_only_one_trains(directory: SweepDir, pid: int) -> None:
    """Wait until the others have trained all that they may: no run but one for ten seconds."""
    deadline = time.monotonic() + SECONDS
    since = time.monotonic()
    while time.monotonic() - since < 10.0:
        assert time.monotonic() < deadline, "the other worker does not come to an end"
        members = directory.read().members
        running = [member.worker for member in members if member.state == "running"]
        assert any(str(pid) in worker for worker in running), "its run was taken over"
        if len(running) > 1 or len(members) < 5:  # the search comes last
            since = time.monotonic()
        time.sleep(0.5)


def wait_for_a_run(workspace: Workspace) -> SweepDir:
    """Return the directory of the one sweep, once one of its runs is being trained."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for path in (workspace.runs_dir / "sweeps").glob("*/sweep.json"):
            directory = SweepDir(path.parent)
            if any(m.state == "running" and m.worker for m in directory.read().members):
                return directory
        time.sleep(0.1)
    raise AssertionError("no run started")
