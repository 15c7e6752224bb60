"""Signals: the first ends work at the next safe point, a second one at once.

What must not be split, such as an optimiser step with its record, or the end of a run, runs
deferred: a signal that comes then takes effect when it is over, or where work within it allows
signals. Anywhere else it takes effect where it comes, as Ctrl-C does.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""What ends work so that the same command continues it; schedulers send SIGUSR1 beforehand."""


class Interrupted(KeyboardInterrupt):
    """Work was ended by a signal; the same command continues it."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"interrupted by {number.name}")
        self.number = number


class Interruption:
    """Whether this process was asked to stop, and what stopping must wait for."""

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        # The signal that is still to be raised: it came while signals were deferred.
        self._pending: signal.Signals | None = None
        self._depth = 0
        self._last_acts: list[Callable[[signal.Signals], None]] = []

    @property
    def exit_code(self) -> int:
        """Exit code of a process that a signal ended: 128 and its number, 130 without one."""
        return 128 + (self.requested or signal.SIGINT)

    def install(self) -> None:
        """Take over the signals of this process; call it in the main thread.

        One that was ignored from the start stays so, as `nohup` and background jobs want it.
        """
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.receive)

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """Handle a signal.

        Raises:
            Interrupted: If it is the first one and nothing is deferred.
        """
        received = signal.Signals(number)
        if self.requested is None:
            self.requested = self._pending = received
            self._raise_pending()
            return
        # The user does not want to wait: whatever this was doing, say the truth and go.
        for act in reversed(self._last_acts):
            with contextlib.suppress(Exception):
                act(received)
        os._exit(128 + received)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal take effect only when the block is over.

        Raises:
            Interrupted: At the end of the outermost block, if a signal came within it.
        """
        with self._at_depth(self._depth + 1):
            yield
        self._raise_pending()

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Let signals take effect at once in a part of a deferred block.

        Raises:
            Interrupted: Before the part, if a signal came earlier in the deferred block.
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
        """Have something done if a second signal ends the process within the block."""
        self._last_acts.append(act)
        try:
            yield
        finally:
            self._last_acts.remove(act)


interruption = Interruption()
"""That of this process: signals are the process's, so there is one."""
