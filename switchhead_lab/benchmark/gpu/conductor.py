"""Runs the parts within a time limit, each in its own worker processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from switchhead_lab.benchmark.gpu.checkout import ROOT
from switchhead_lab.benchmark.gpu.journal import ENDED, RUNNING, Event, Journal, Status
from switchhead_lab.benchmark.gpu.plan import (
    EXIT_DEVICE_LOST,
    EXIT_NO_DEVICE,
    RESERVED_SECONDS,
    Part,
)
from switchhead_lab.errors import ConfigError

_MOST_WORKERS = 12
# Importing torch and opening the device takes most of this.
_FEWEST_SECONDS = 12.0
# Long enough not to disturb timings.
_POLL_SECONDS = 0.5
# Lets a worker write its stack before it is killed.
_TRACEBACK_SECONDS = 1.0


@dataclass(frozen=True)
class Conductor:
    """Runs parts in order; a failed part does not stop the next.

    Attributes:
        journal: Events of all parts, written by workers and conductor.
        log_path: Where workers' standard error goes.
        is_dry_run: Workers use the CPU, tiny sizes and Triton's interpreter.
        deadline: Monotonic time at which everything must end.
        say: Called with a line at the start and end of each part.
    """

    journal: Journal
    log_path: Path
    is_dry_run: bool
    deadline: float
    say: Callable[[str], None] = field(default=lambda _: None)

    def run(self, parts: Sequence[Part], after_each: Callable[[], object]) -> None:
        """Run parts until the time is up.

        Args:
            parts: In order.
            after_each: Called after each part that was run, to write the results so far.

        Raises:
            ConfigError: If there is no device.
        """
        for number, part in enumerate(parts):
            left = self.deadline - RESERVED_SECONDS - time.monotonic()
            if left < _FEWEST_SECONDS:
                self.journal.add(Event(part.name, "", "skipped", reason="no time left"))
                self.say(f"{part.name}: skipped, no time left")
                continue
            self.say(f"{part.name}: {part.title}")
            # Unused time goes to later parts. A dry run must be complete rather than short.
            share = part.seconds / sum(other.seconds for other in parts[number:])
            seconds = left if self.is_dry_run else left * share
            self._run_part(part, time.monotonic() + seconds)
            after_each()

    def _run_part(self, part: Part, until: float) -> None:
        """Run the part's cases, starting another worker after each one that dies."""
        for _ in range(_MOST_WORKERS):
            n_ended = self._n_ended(part)
            exit_code = self._run_worker(part, until)
            if exit_code == EXIT_NO_DEVICE:
                raise ConfigError(
                    "no CUDA device; run this where there is one, or add --dry-run to try the "
                    "command on the CPU"
                )
            if exit_code == 0 or time.monotonic() >= until:
                return
            self._close_open_case(part, "crashed", _describe(exit_code))
            if self._n_ended(part) == n_ended:
                self._end_part(part, "failed", f"worker ended with {_describe(exit_code)}")
                return
        self._end_part(part, "failed", f"given up after {_MOST_WORKERS} workers")

    def _run_worker(self, part: Part, until: float) -> int:
        """Run one worker; kill it if a case hangs or the part's time is up."""
        with self.log_path.open("a", encoding="utf-8") as log:
            worker = subprocess.Popen(
                self._command(part),
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )
            try:
                while (exit_code := worker.poll()) is None:
                    reason = self._why_to_stop(part, until)
                    if reason:
                        _kill(worker)
                        is_over = time.monotonic() >= until
                        # A case cut off by the part's limit did not necessarily hang.
                        self._close_open_case(part, "skipped" if is_over else "timeout", reason)
                        if is_over:
                            self._end_part(part, "timeout", reason)
                        return -signal.SIGKILL
                    time.sleep(_POLL_SECONDS)
                return exit_code
            finally:
                _kill(worker)

    def _why_to_stop(self, part: Part, until: float) -> str:
        if time.monotonic() >= until:
            return "the part's time is up"
        open_case = self._open_case(part)
        if open_case is None or self.is_dry_run:
            return ""
        if open_case.seconds + time.time() - open_case.at > part.case_seconds:
            return f"more than {part.case_seconds:g} s in one case"
        return ""

    def _open_case(self, part: Part) -> Event | None:
        events = self.journal.latest(part.name).values()
        return next((event for event in events if event.status in RUNNING), None)

    def _n_ended(self, part: Part) -> int:
        return sum(event.status in ENDED for event in self.journal.latest(part.name).values())

    def _close_open_case(self, part: Part, status: Status, reason: str) -> None:
        """Record the end of the case that a dead worker was running, if any."""
        event = self._open_case(part)
        if event is not None:
            seconds = event.seconds + time.time() - event.at
            self.journal.add(Event(part.name, event.case, status, seconds, reason, event.findings))

    def _end_part(self, part: Part, status: Status, reason: str) -> None:
        self.journal.add(Event(part.name, "", status, reason=reason))

    def _command(self, part: Part) -> list[str]:
        command = [sys.executable, "-m", "switchhead_lab.benchmark.gpu", "--worker", part.name]
        command += ["--out", str(self.journal.path.parent)]
        return [*command, "--dry-run"] if self.is_dry_run else command

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
        if self.is_dry_run:
            # Read when Triton is imported, so workers cannot set it themselves.
            environment |= {
                "TRITON_INTERPRET": "1",
                "CUDA_VISIBLE_DEVICES": "",
                "OMP_NUM_THREADS": "1",
            }
        return environment


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """Kill a worker and its child processes, once it has written its stack."""
    if worker.poll() is None:
        worker.send_signal(signal.SIGUSR1)
        time.sleep(_TRACEBACK_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _describe(exit_code: int) -> str:
    if exit_code < 0:
        return signal.Signals(-exit_code).name
    if exit_code == EXIT_DEVICE_LOST:
        return "an unusable device"
    return f"exit code {exit_code}"
