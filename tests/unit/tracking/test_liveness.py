import os
import socket
import subprocess
import sys
import time

import psutil
import pytest

from switchhead_lab.tracking.liveness import observed_state, process_is_gone
from switchhead_lab.tracking.record import RunStatus


def status(**values: object) -> RunStatus:
    own = {
        "state": "running",
        "attempt": 1,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started_at": time.time(),
    }
    return RunStatus.model_validate({**own, **values})


@pytest.fixture(scope="module")
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_living_process_is_running() -> None:
    assert not process_is_gone(status())
    assert observed_state(status()) == "running"


def test_a_dead_process_is_gone(dead_pid: int) -> None:
    assert process_is_gone(status(pid=dead_pid))
    assert observed_state(status(pid=dead_pid)) == "interrupted"


def test_other_machines_cannot_be_looked_at(dead_pid: int) -> None:
    assert not process_is_gone(status(pid=dead_pid, host="elsewhere"))


def test_a_run_that_ended_keeps_its_state(dead_pid: int) -> None:
    assert observed_state(status(pid=dead_pid, state="failed")) == "failed"


def test_a_number_given_to_a_younger_process_is_told_apart() -> None:
    assert process_is_gone(status(started_at=time.time() - 30 * 86_400))


def test_a_process_that_may_not_be_looked_at_is_not_called_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def deny(pid: int) -> None:
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(psutil, "Process", deny)
    assert not process_is_gone(status())
