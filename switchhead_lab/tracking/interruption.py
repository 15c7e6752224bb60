"""Signals: the first ends work at the next safe point, a second one immediately.

Work that must not be split, such as an optimiser step with its record or the end of a run, runs
in a deferred block: a signal takes effect at the end of the block or in a part that allows
signals. Elsewhere it takes effect immediately, like Ctrl-C. Under a scheduler, later signals are
ignored.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals after which the same command continues; schedulers send SIGUSR1 before the limit."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the work; the same command continues it."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"interrupted by {number.name}")
        self.number = number


class Interruption:
    """The pending signal of this process and the blocks that defer it."""

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        # Why the process sent itself the signal; empty for signals from outside.
        self.explanation = ""
        # Schedulers send several signals and enforce the end with SIGKILL.
        self.ignores_repeats = False
        # Received while signals were deferred and not raised yet.
        self._pending: signal.Signals | None = None
        self._depth = 0
        self._last_acts: list[Callable[[signal.Signals], None]] = []

    @property
    def exit_code(self) -> int:
        """Exit code after a signal: 128 plus its number; 130 without a signal."""
        return 128 + (self.requested or signal.SIGINT)

    def install(self) -> None:
        """Install the signal handlers; call it in the main thread.

        Signals ignored at start stay ignored, as `nohup` and background jobs need.
        """
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.receive)

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """Handle a signal.

        Raises:
            Interrupted: If it is the first one and signals are not deferred.
        """
        received = signal.Signals(number)
        if self.requested is None:
            self.requested = self._pending = received
            self._raise_pending()
            return
        if self.ignores_repeats:
            return
        # The user does not want to wait: record the true status and exit.
        for act in reversed(self._last_acts):
            with contextlib.suppress(Exception):
                act(received)
        os._exit(128 + received)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer signals to the end of the block.

        Raises:
            Interrupted: At the end of the outermost block, if a signal was received in it.
        """
        with self._at_depth(self._depth + 1):
            yield
        self._raise_pending()

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Allow signals in a part of a deferred block.

        Raises:
            Interrupted: Before the part, if a signal was received earlier in the deferred block.
        """
        with self._at_depth(0):
            self._raise_pending()
            yield

    @contextlib.contextmanager
    def _at_depth(self, depth: int) -> Iterator[None]:
        before, self._depth = self._depth, depth
        try:
            yield
        finally:
            self._depth = before

    def _raise_pending(self) -> None:
        pending = self._pending
        if self._depth == 0 and pending is not None:
            self._pending = None
            raise Interrupted(pending)

    @contextlib.contextmanager
    def last_act(self, act: Callable[[signal.Signals], None]) -> Iterator[None]:
        """Call `act` if a second signal ends the process within the block."""
        self._last_acts.append(act)
        try:
            yield
        finally:
            self._last_acts.remove(act)


interruption = Interruption()
"""The only instance: signals are per process."""
