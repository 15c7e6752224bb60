"""Worker processes, forked from one that has imported PyTorch and all parts already.

On a fresh machine, imports take some ten seconds. Forked workers do not repeat them for every part
and after every crash. The process they are forked from never opens the device.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from switchhead_lab.benchmark.gpu.plan import Part

_PRELOADED = "switchhead_lab.benchmark.gpu.preload"
# Lets a worker write its stack before it is killed.
_TRACEBACK_SECONDS = 1.0

Work = Callable[[Part, int], int]
"""Runs a share of a part's cases in a worker; returns an exit code."""


class Worker:
    """One worker process, in a session of its own."""

    def __init__(self, work: Work, part: Part, share: int, log_path: Path) -> None:
        """Start it.

        Args:
            work: What it runs; importable.
            part: The part.
            share: Which share of the part's cases.
            log_path: Where its output is appended.
        """
        context: Any = multiprocessing.get_context("forkserver")
        # Read when the first worker starts.
        context.set_forkserver_preload([_PRELOADED])
        self._process = context.Process(target=_enter, args=(log_path, work, part, share))
        self._process.start()

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        exit_code: int | None = self._process.exitcode
        return exit_code

    def kill(self) -> None:
        """Kill it and its child processes, once it has written its stack."""
        pid = self._process.pid
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
            time.sleep(_TRACEBACK_SECONDS)
        # The group exists once the worker has its session, and until its last process ends.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()


def run_share(out: Path, is_dry_run: bool, part: Part, share: int) -> int:
    """Run a share of a part's cases in this process; return an exit code.

    Args:
        out: Folder of the journal.
        is_dry_run: Whether to use the CPU and tiny sizes.
        part: The part.
        share: Number of this worker among the part's `n_workers`.
    """
    # Deferred: imports PyTorch, which the command itself does not need.
    from switchhead_lab.benchmark.gpu.worker import work

    return work(part, share, out, is_dry_run=is_dry_run)


def _enter(log_path: Path, work: Work, part: Part, share: int) -> None:
    os.setsid()
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    sys.exit(work(part, share))
