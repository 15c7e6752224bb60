"""When signals take effect, and what a second signal does."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import pytest

from switchhead_lab.tracking.bounded import interruptible
from switchhead_lab.tracking.interruption import SIGNALS, Interrupted, Interruption


def test_a_signal_takes_effect_immediately() -> None:
    interruption = Interruption()
    with pytest.raises(Interrupted, match="interrupted by SIGTERM") as caught:
        interruption.receive(signal.SIGTERM)
    assert caught.value.number is signal.SIGTERM
    assert isinstance(caught.value, KeyboardInterrupt)
    assert interruption.exit_code == 143


def test_under_a_scheduler_later_signals_are_ignored() -> None:
    interruption = Interruption()
    interruption.ignores_repeats = True
    with pytest.raises(Interrupted, match="SIGUSR1"):
        interruption.receive(signal.SIGUSR1)
    interruption.receive(signal.SIGTERM)
    assert interruption.exit_code == 138


def test_a_deferred_block_ends_first() -> None:
    interruption = Interruption()
    done = []

    def work() -> None:
        with interruption.deferred():
            with interruption.deferred():
                interruption.receive(signal.SIGUSR1)
                done.append("inner")
            done.append("outer")

    with pytest.raises(Interrupted):
        work()
    assert done == ["inner", "outer"]
    assert interruption.exit_code == 138


def test_a_part_of_a_deferred_block_may_allow_signals() -> None:
    interruption = Interruption()
    done = []

    def work() -> None:
        with interruption.deferred():
            try:
                with interruption.allowed():
                    interruption.receive(signal.SIGTERM)
                    done.append("never")
            finally:
                done.append("closed")

    with pytest.raises(Interrupted):
        work()
    assert done == ["closed"]


def test_an_earlier_signal_is_raised_at_the_part_that_allows_signals() -> None:
    interruption = Interruption()
    done = []

    def work() -> None:
        with interruption.deferred():
            interruption.receive(signal.SIGTERM)
            done.append("opened")
            try:
                with interruption.allowed():
                    done.append("never")
            finally:
                done.append("closed")

    with pytest.raises(Interrupted):
        work()
    assert done == ["opened", "closed"]


def test_a_deferred_block_within_an_allowed_part_ends_first() -> None:
    interruption = Interruption()
    done = []

    def work() -> None:
        with interruption.deferred(), interruption.allowed():
            with interruption.deferred():
                interruption.receive(signal.SIGTERM)
                done.append("step")
            done.append("never")

    with pytest.raises(Interrupted):
        work()
    assert done == ["step"]


@pytest.fixture
def one_core() -> Iterator[None]:
    """Let all threads of this process share one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.usefixtures("one_core")
def test_a_signal_ends_the_wait_for_native_code(signals: Interruption) -> None:
    """On one core the signal mostly arrives before the main thread begins to wait."""
    end = threading.Event()
    outcomes: list[bool] = []

    def native() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        outcomes.append(end.wait(20))

    for _ in range(3):
        with pytest.raises(Interrupted):
            interruptible(native)
        signals.requested = None
    assert outcomes == []
    end.set()


def test_results_and_errors_of_native_code_are_passed_on() -> None:
    assert interruptible(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 // 0)


def test_a_signal_does_not_interrupt_cleanup_again() -> None:
    interruption = Interruption()
    closed = []

    def work() -> None:
        try:
            interruption.receive(signal.SIGHUP)
        finally:
            with interruption.deferred():
                closed.append(True)

    with pytest.raises(Interrupted):
        work()
    assert closed == [True]


def test_without_a_signal_nothing_is_raised() -> None:
    interruption = Interruption()
    with interruption.deferred():
        pass
    assert interruption.exit_code == 130


def test_a_signal_ignored_at_start_stays_ignored() -> None:
    """`nohup lab sweep ...` outlives its terminal."""
    program = textwrap.dedent(
        """
        import os, signal
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        from switchhead_lab.tracking.interruption import interruption
        interruption.install()
        os.kill(os.getpid(), signal.SIGHUP)
        print("still here")
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "still here\n"


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_second_signal_exits_immediately_after_the_last_act(number) -> None:
    program = textwrap.dedent(
        f"""
        import os, signal, sys, time
        from switchhead_lab.tracking.interruption import interruption
        signal.signal({int(number)}, signal.SIG_DFL)  # may be ignored where the suite started
        interruption.install()
        with interruption.last_act(lambda number: print("last act:", number.name, flush=True)):
            with interruption.deferred():
                os.kill(os.getpid(), {int(number)})
                os.kill(os.getpid(), {int(number)})
                time.sleep(60)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 128 + number
    assert done.stdout == f"last act: {number.name}\n"
    assert done.stderr == ""
