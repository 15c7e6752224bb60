"""Work in a background thread, so that waiting can end at a deadline or a signal."""

import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

ResultT = TypeVar("ResultT")

_SLICE_SECONDS = 0.2


class BoundedWorker:
    """A background thread that runs one job at a time; callers wait with a deadline.

    Python cannot stop a thread, so a job that missed its deadline keeps running. The next job waits
    for it, so that the two never interleave. The thread does not keep the process alive.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job[Any]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, action: Callable[[], ResultT], seconds: float) -> ResultT:
        """Return what `action` returns, or raise what it raises.

        Args:
            action: Called in the background thread, after earlier jobs have ended.
            seconds: How long to wait, including for earlier jobs.

        Raises:
            TimeoutError: If it takes longer. A job that has not started by then never starts.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="bounded", daemon=True)
            self._thread.start()
        job = _Job(action)
        deadline = time.monotonic() + seconds
        self._jobs.put(job)
        try:
            # In slices: a signal that arrives just before a wait begins does not end that wait.
            while not job.done.wait(min(_SLICE_SECONDS, max(0.0, deadline - time.monotonic()))):
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"no answer within {seconds:.3g} s")
        except BaseException:  # includes Ctrl-C
            job.is_given_up = True
            raise
        return job.outcome()

    def _work(self) -> None:
        while True:
            self._jobs.get().execute()


def interruptible(action: Callable[[], ResultT]) -> ResultT:
    """Run native code such that a signal ends the wait immediately.

    Python handles signals in the main thread between bytecodes, so native code called there would
    delay them. After a signal the thread is abandoned; it ends with the process.

    Args:
        action: Calls native code that releases the GIL.
    """
    return BoundedWorker().run(action, math.inf)


class _Job(Generic[ResultT]):
    def __init__(self, action: Callable[[], ResultT]) -> None:
        self._action = action
        self._results: list[ResultT] = []
        self._error: BaseException | None = None
        self.done = threading.Event()
        self.is_given_up = False

    def execute(self) -> None:
        if self.is_given_up:
            return
        try:
            self._results.append(self._action())
        except BaseException as error:
            self._error = error
        self.done.set()

    def outcome(self) -> ResultT:
        if self._error is not None:
            raise self._error
        return self._results[0]
