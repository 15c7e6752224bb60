"""The same work in two processes at the same moment."""

import multiprocessing
from collections.abc import Callable
from typing import Any

Prepare = Callable[..., Any]


def reports_of_two(prepare: Prepare, *arguments: Any) -> list[str]:
    """Call `prepare(*arguments, progress=...)` in two processes at once; return all reports."""
    context = multiprocessing.get_context("spawn")
    barrier, reports = context.Barrier(2), context.SimpleQueue()
    processes = [
        context.Process(target=_prepare, args=(barrier, reports, prepare, arguments))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    found = []
    while not reports.empty():
        found.append(reports.get())
    return found


def _prepare(barrier: Any, reports: Any, prepare: Prepare, arguments: tuple[Any, ...]) -> None:
    barrier.wait()
    prepare(*arguments, progress=reports.put)
