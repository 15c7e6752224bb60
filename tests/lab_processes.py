"""The command `lab` in processes of its own, for tests of several at the same time."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from switchhead_lab.config.workspace import Workspace

SECONDS = 240.0


def start(workspace: Workspace, *arguments: str) -> subprocess.Popen[str]:
    """Start a command in a workspace, with one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "switchhead_lab", *arguments],
        cwd=workspace.root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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
