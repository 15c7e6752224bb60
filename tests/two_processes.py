"""The same work in two processes at the same moment."""

from collections.abc import Callable
from typing import Any

from ready_processes import CONTEXT

LONGEST_SECONDS = 120.0
Prepare = Callable[..., Any]


def reports_of_two(prepare: Prepare, *arguments: Any) -> list[str]:
    """Call `prepare(*arguments, progress=...)` in two processes at once; return all reports."""
    barrier, reports = CONTEXT.Barrier(2), CONTEXT.SimpleQueue()
    processes = [
        CONTEXT.Process(target=_prepare, args=(barrier, reports, prepare, arguments), daemon=True)
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LONGEST_SECONDS)
    assert [process.exitcode for process in processes] == [0, 0]
    found = []
    while not reports.empty():
        found.append(reports.get())
    return found


def _prepare(barrier: Any, reports: Any, prepare: Prepare, arguments: tuple[Any, ...]) -> None:
    barrier.wait(LONGEST_SECONDS)  # ends with an error if the other process did not get here
    prepare(*arguments, progress=reports.put)
