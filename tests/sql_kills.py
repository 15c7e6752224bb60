"""Running code in a child process that is killed at a chosen SQL statement."""

import multiprocessing
import os
import signal
from collections.abc import Callable

import sqlalchemy
from sqlalchemy import event


def kill_self() -> None:
    """Kill this process with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def run_until_killed(action: Callable[[], object]) -> None:
    """Run an action in a forked child, which shares this process's imports, and kill it after."""

    def run() -> None:
        action()
        kill_self()

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


def run_until_statement(action: Callable[[], object], number: int) -> None:
    """Run an action in a child that is killed before its SQL statement `number` (from 0).

    With fewer statements, it is killed after the action.
    """

    def run() -> None:
        seen = iter(range(number))

        def count(*_arguments: object) -> None:
            if next(seen, None) is None:
                kill_self()

        event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
        action()

    run_until_killed(run)
