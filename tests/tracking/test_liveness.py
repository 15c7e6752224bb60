"""The owner of a run holds its lock; only the lock shows whether it is being trained."""

import os
import signal
import time

import pytest
from ready_processes import CONTEXT

from switchhead_lab.tracking.liveness import (
    busy_error,
    is_orphaned,
    is_owned,
    observed_state,
    run_lock,
)
from switchhead_lab.tracking.record import RunStatus, read_run


def hold(runs_dir, run_hash, is_held) -> None:
    with run_lock(runs_dir, run_hash):
        is_held.set()
        time.sleep(600)


@pytest.fixture
def owner(runs_dir):
    """Start a process that owns a run; it is killed after the test."""
    started = []

    def start(run_hash: str):
        is_held = CONTEXT.Event()
        process = CONTEXT.Process(target=hold, args=(runs_dir, run_hash, is_held), daemon=True)
        process.start()
        assert is_held.wait(60)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.mark.processes
def test_a_run_is_live_while_its_lock_is_held(runs_dir, make_run, owner) -> None:
    run = make_run("running")
    assert observed_state(run) == "interrupted"
    process = owner(run.run_hash)
    assert is_owned(runs_dir, run.run_hash)
    assert observed_state(run) == "running"
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not is_owned(runs_dir, run.run_hash)
    assert is_orphaned(run)


@pytest.mark.processes
def test_clocks_hosts_and_pids_are_ignored(runs_dir, make_run, owner) -> None:
    run = make_run("running")
    owner(run.run_hash)
    elsewhere = {"host": "renamed", "pid": 1, "started_at": time.time() + 3600}
    status = RunStatus.model_validate({**run.status.model_dump(), **elsewhere})
    (run.directory / "status.json").write_text(status.model_dump_json())
    assert observed_state(read_run(run.directory)) == "running"


def test_checking_a_lock_does_not_keep_it(runs_dir, make_run) -> None:
    run = make_run("running")
    with run_lock(runs_dir, run.run_hash):
        assert is_owned(runs_dir, run.run_hash)
    assert not is_owned(runs_dir, run.run_hash)
    with run_lock(runs_dir, run.run_hash):
        pass


def test_a_run_with_a_result_and_no_readable_status_is_finished(make_run) -> None:
    for text in ('{"state": "running"', None):
        run = make_run()
        path = run.directory / "status.json"
        path.unlink() if text is None else path.write_text(text)
        again = read_run(run.directory)
        assert observed_state(again) == "finished"
        assert again.status.reason == "status.json is missing or damaged"


def test_a_run_with_a_result_and_a_stale_running_status_is_finished(make_run) -> None:
    run = make_run()
    status = run.status.model_copy(update={"state": "running"})
    (run.directory / "status.json").write_text(status.model_dump_json())
    assert observed_state(read_run(run.directory)) == "finished"


def test_an_ended_run_keeps_its_state(make_run) -> None:
    assert observed_state(make_run("failed")) == "failed"


def test_the_error_names_the_owner(runs_dir, make_run) -> None:
    run = make_run("running")
    expected = f"process {run.status.pid} on {run.status.host} is training this configuration"
    assert str(busy_error(runs_dir, run.run_hash)).startswith(expected)
