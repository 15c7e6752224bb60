"""The command `lab` in processes of its own, for tests of several at the same time."""

import os
import time
from collections.abc import Callable

from ready_processes import LabProcess

from switchhead_lab.config.workspace import Workspace

SECONDS = 240.0


def start(workspace: Workspace, *arguments: str) -> LabProcess:
    """Start a command in a workspace, with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return LabProcess(*arguments, cwd=workspace.root, environment=environment)


def lab(workspace: Workspace, *arguments: str, code: int = 0, seconds: float = SECONDS) -> str:
    """Run a command to its end, check its exit code and return stdout and stderr."""
    done = start(workspace, *arguments)
    output, errors = done.communicate(timeout=seconds)
    assert done.returncode == code, output + errors
    return output + errors


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
