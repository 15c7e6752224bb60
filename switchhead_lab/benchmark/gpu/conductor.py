"""Runs the parts within a time limit, each in its own worker processes."""

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from switchhead_lab.benchmark.gpu.journal import ENDED, RUNNING, Event, Journal, Status
from switchhead_lab.benchmark.gpu.plan import (
    EXIT_DEVICE_LOST,
    EXIT_NO_DEVICE,
    RESERVED_SECONDS,
    Part,
)
from switchhead_lab.benchmark.gpu.workers import Work, Worker
from switchhead_lab.errors import ConfigError

# For each share of a part's cases.
_MOST_WORKERS = 12
# Opening the device takes seconds.
_FEWEST_SECONDS = 6.0
# Long enough not to disturb timings.
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Conductor:
    """Runs parts in order; a failed part does not stop the next.

    Attributes:
        journal: Events of all parts, written by workers and conductor.
        log_path: Where workers' output goes.
        work: What workers run.
        is_dry_run: Parts have no time limits.
        deadline: Monotonic time at which everything must end.
        say: Called with a line at the start and end of each part.
    """

    journal: Journal
    log_path: Path
    work: Work
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
        """Run the part's cases, side by side if it has several workers."""
        with ThreadPoolExecutor(part.n_workers) as pool:
            shares = [
                pool.submit(self._run_share, part, share, until) for share in range(part.n_workers)
            ]
        for share in shares:
            share.result()

    def _run_share(self, part: Part, share: int, until: float) -> None:
        """Run one worker's cases, starting another worker after each one that dies."""
        for _ in range(_MOST_WORKERS):
            n_ended = self._n_ended(part, share)
            exit_code = self._run_worker(part, share, until)
            if exit_code == EXIT_NO_DEVICE:
                raise ConfigError(
                    "no CUDA device; run this where there is one, or add --dry-run to try the "
                    "command on the CPU"
                )
            if exit_code == 0 or time.monotonic() >= until:
                return
            self._close_open_case(part, share, "crashed", _describe(exit_code))
            if self._n_ended(part, share) == n_ended:
                self._end_part(part, "failed", f"worker ended with {_describe(exit_code)}")
                return
        self._end_part(part, "failed", f"given up after {_MOST_WORKERS} workers")

    def _run_worker(self, part: Part, share: int, until: float) -> int:
        """Run one worker; kill it if a case hangs or the part's time is up."""
        worker = Worker(self.work, part, share, self.log_path)
        try:
            while (exit_code := worker.poll()) is None:
                reason = self._why_to_stop(part, share, until)
                if reason:
                    worker.kill()
                    is_over = time.monotonic() >= until
                    # A case cut off by the part's limit did not necessarily hang.
                    status: Status = "skipped" if is_over else "timeout"
                    self._close_open_case(part, share, status, reason)
                    if is_over:
                        self._end_part(part, "timeout", reason)
                    return -signal.SIGKILL
                time.sleep(_POLL_SECONDS)
            return exit_code
        finally:
            worker.kill()

    def _why_to_stop(self, part: Part, share: int, until: float) -> str:
        if time.monotonic() >= until:
            return "the part's time is up"
        open_case = self._open_case(part, share)
        if open_case is None or self.is_dry_run:
            return ""
        if open_case.seconds + time.time() - open_case.at > part.case_seconds:
            return f"more than {part.case_seconds:g} s in one case"
        return ""

    def _open_case(self, part: Part, share: int) -> Event | None:
        events = self._events(part, share)
        return next((event for event in events if event.status in RUNNING), None)

    def _n_ended(self, part: Part, share: int) -> int:
        return sum(event.status in ENDED for event in self._events(part, share))

    def _events(self, part: Part, share: int) -> list[Event]:
        events = self.journal.latest(part.name).values()
        return [event for event in events if event.case and event.share == share]

    def _close_open_case(self, part: Part, share: int, status: Status, reason: str) -> None:
        """Record the end of the case that a dead worker was running, if any."""
        event = self._open_case(part, share)
        if event is not None:
            seconds = event.seconds + time.time() - event.at
            ended = replace(event, status=status, seconds=seconds, reason=reason, at=time.time())
            self.journal.add(ended)

    def _end_part(self, part: Part, status: Status, reason: str) -> None:
        self.journal.add(Event(part.name, "", status, reason=reason))


def _describe(exit_code: int) -> str:
    if exit_code < 0:
        return signal.Signals(-exit_code).name
    if exit_code == EXIT_DEVICE_LOST:
        return "an unusable device"
    return f"exit code {exit_code}"
