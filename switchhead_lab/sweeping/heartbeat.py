"""A worker's heartbeats, and requests to stop that arrive meanwhile."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.tracking.record import MetricPoint
from switchhead_lab.tracking.sweep_dir import SweepDir

STOPPED = "stopped as `lab sweep stop` asked; `lab sweep resume` continues"


class TakenOver(KeyboardInterrupt):
    """This worker was declared dead, so another one may be training its run."""


class Heartbeat:
    """Sends heartbeats from a thread, and interrupts the process when the sweep is stopped.

    Args:
        directory: The sweep's directory.
        worker_id: This worker.

    Attributes:
        is_lost: Whether this worker was declared dead.
    """

    def __init__(self, directory: SweepDir, worker_id: str) -> None:
        self.worker_id = worker_id
        self._directory = directory
        self._ended = threading.Event()
        self._is_stopping = False
        self.is_lost = False

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Send heartbeats during the block."""
        thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def observe(self, _point: MetricPoint) -> None:
        """Training hook: end the run in progress if this worker was declared dead.

        Raises:
            TakenOver: If it is.
        """
        if self.is_lost:
            raise TakenOver(f"heartbeats of worker {self.worker_id} stopped for too long")

    def _beat(self) -> None:
        workers = self._directory.workers
        while not self._ended.wait(workers.heartbeat_seconds):
            heard = workers.beat(self.worker_id)
            self.is_lost = self.is_lost or not heard.is_alive
            if heard.is_stopping and not self._is_stopping:
                self._is_stopping = True
                interruption.explanation = STOPPED
                # As a scheduler does before its time limit: the step ends, a checkpoint is saved.
                os.kill(os.getpid(), signal.SIGUSR1)
