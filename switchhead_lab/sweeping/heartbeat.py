"""A worker's signs of life, and what it is asked to do meanwhile."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.tracking.record import MetricPoint
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.workers import SIGN_OF_LIFE_SECONDS

STOPPED = "stopped as `lab sweep stop` asked; `lab sweep resume` continues"


class TakenOver(KeyboardInterrupt):
    """Other workers hold this one for dead, so its run in progress may be theirs now."""


class Heartbeat:
    """Gives signs of life in a thread, and ends the process's work when the sweep is stopped.

    Args:
        directory: The sweep's directory.
        worker_id: This worker.

    Attributes:
        is_lost: Whether other workers hold this one for dead.
    """

    def __init__(self, directory: SweepDir, worker_id: str) -> None:
        self.worker_id = worker_id
        self._directory = directory
        self._ended = threading.Event()
        self._is_stopping = False
        self.is_lost = False

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Give signs of life in the block."""
        thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def observe(self, _point: MetricPoint) -> None:
        """End the training in progress if this worker is held for dead; a training hook.

        Raises:
            TakenOver: If it is.
        """
        if self.is_lost:
            raise TakenOver(f"worker {self.worker_id} was silent for too long")

    def _beat(self) -> None:
        workers = self._directory.workers
        while not self._ended.wait(SIGN_OF_LIFE_SECONDS):
            self.is_lost = self.is_lost or not workers.give_sign(self.worker_id)
            if workers.is_stop_requested and not self._is_stopping:
                self._is_stopping = True
                interruption.explanation = STOPPED
                # As a scheduler does before its time limit: the step ends, a checkpoint is saved.
                os.kill(os.getpid(), signal.SIGUSR1)
