"""Which workers of a sweep are alive: the lock that a process holds decides, never a clock."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from switchhead_lab.tracking.workers import SUSPENDED_SECONDS, Workers

CODE = """
import sys, time
from pathlib import Path
from switchhead_lab.tracking.workers import Workers
with Workers(Path(sys.argv[1])).joined({"code": 1}) as worker:
    print(worker.worker_id, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path):
    """A worker in another process, and its id."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_a_worker_is_alive_until_it_leaves(tmp_path: Path) -> None:
    workers = Workers(tmp_path)
    with workers.joined({"code": 1}) as worker:
        assert workers.is_alive(worker.worker_id)
        (state,) = workers.alive()
        assert state.record == worker
        assert (state.record.pid, state.record.facts) == (os.getpid(), {"code": 1})
    assert not workers.is_alive(worker.worker_id)
    assert workers.alive() == []
    assert list((tmp_path / "workers").iterdir()) == []


def test_a_killed_worker_is_dead_at_once_and_its_files_are_removed(tmp_path, other) -> None:
    process, worker_id = other
    workers = Workers(tmp_path)
    assert [state.record.worker_id for state in workers.alive()] == [worker_id]
    process.kill()
    process.wait()
    assert not workers.is_alive(worker_id)
    assert workers.alive() == []
    assert list((tmp_path / "workers").iterdir()) == []


def test_a_suspended_worker_is_alive_whatever_the_clock_says(tmp_path, other) -> None:
    process, worker_id = other
    process.send_signal(signal.SIGSTOP)
    path = tmp_path / "workers" / f"{worker_id}.json"
    old = path.stat().st_mtime - 10 * SUSPENDED_SECONDS
    os.utime(path, (old, old))
    (state,) = Workers(tmp_path).alive()
    assert state.is_suspended
    Workers(tmp_path).beat(worker_id)
    (state,) = Workers(tmp_path).alive()
    assert not state.is_suspended


def test_a_worker_without_files_learns_that_it_is_held_for_dead(tmp_path) -> None:
    workers = Workers(tmp_path)
    with workers.joined({}) as worker:
        assert workers.beat(worker.worker_id).is_alive
        (tmp_path / "workers" / f"{worker.worker_id}.json").unlink()
        assert not workers.beat(worker.worker_id).is_alive
        assert not workers.is_alive(worker.worker_id)


def test_a_request_to_stop_holds_until_it_is_withdrawn(tmp_path) -> None:
    workers = Workers(tmp_path)
    assert not workers.is_stop_requested
    workers.request_stop()
    assert Workers(tmp_path).is_stop_requested
    workers.withdraw_stop()
    workers.withdraw_stop()
    assert not workers.is_stop_requested
