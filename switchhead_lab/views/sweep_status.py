"""Output of `lab sweep status`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from switchhead_lab.number_text import NOTHING, short_time
from switchhead_lab.reporting.commands import Verb, sweep_command
from switchhead_lab.sweeping.status import SweepStatus, WorkerStatus
from switchhead_lab.terminal_table import Table
from switchhead_lab.tracking.sweep_record import describe_failures, sweep_id

_WORKER_COLUMNS = ("worker", "trains", "step", "left")


def status_table(status: SweepStatus) -> Table:
    """Return the progress of each model and search."""
    metric = status.sweep.objective.headline
    rows = [
        [
            part.name,
            f"{part.n_done}/{part.n_runs}",
            str(part.n_failed or NOTHING),
            NOTHING if part.best is None else metric.text(part.best),
        ]
        for part in status.parts
    ]
    return Table(sweep_id(status.sweep), ("model", "done", "failed", f"val {metric.label}"), rows)


def worker_table(status: SweepStatus) -> Table:
    """Return the live workers and the runs that they train."""
    rows = [
        [
            worker.state.record.worker_id,
            worker.run_name or "waits",
            f"{worker.step}/{worker.n_steps}" if worker.n_steps else NOTHING,
            short_time(worker.seconds_left),
        ]
        for worker in status.workers
    ]
    return Table("workers", _WORKER_COLUMNS, rows, 2)


def status_lines(status: SweepStatus, sweeps_dir: Path) -> Iterator[str]:
    """Yield failures by cause, suspended workers, what is left, and the next command.

    Args:
        status: Progress of the sweep.
        sweeps_dir: Folder of sweep files, for commands.
    """

    def command(verb: Verb, *options: str) -> str:
        return sweep_command(status.sweep, sweeps_dir, verb, options)

    if status.record is not None and (failures := describe_failures(status.record)):
        yield f"failed: {failures}"
        yield f"to try failed runs again: {command('sweep retry', '--failed')}"
    for worker in status.workers:
        if worker.state.is_suspended:
            yield _suspended(worker)
    n_left = sum(part.n_runs - part.n_done - part.n_failed for part in status.parts)
    if status.is_stopping and status.workers:
        yield "stopping: workers end after their step, with a checkpoint"
    elif n_left == 0:
        yield f"done; next: lab report {sweep_id(status.sweep)}"
    elif not status.workers:
        yield f"no worker is running it; continue with: {command('sweep resume')}"
    if n_left and status.seconds_left is not None:
        shared = f"{len(status.workers)} workers" if len(status.workers) > 1 else "one worker"
        left = short_time(status.seconds_left)
        yield f"about {left} left with {shared}, without validation and pruning"


def plain_status(status: SweepStatus) -> dict[str, Any]:
    """Return the progress as plain data."""
    return {
        "sweep": sweep_id(status.sweep),
        "parts": [vars(part) for part in status.parts],
        "workers": [
            {
                **worker.state.record.model_dump(exclude={"facts"}),
                "silent_seconds": worker.state.silent_seconds,
                "is_suspended": worker.state.is_suspended,
                "run_name": worker.run_name,
                "step": worker.step,
                "n_steps": worker.n_steps,
                "seconds_left": worker.seconds_left,
            }
            for worker in status.workers
        ],
        "failed": [
            {"run_name": member.run_name, "cause": member.cause, "reason": member.reason}
            for member in status.members
            if member.state == "failed"
        ],
        "is_stopping": status.is_stopping,
        "seconds_left": status.seconds_left,
    }


def _suspended(worker: WorkerStatus) -> str:
    record, silent = worker.state.record, short_time(worker.state.silent_seconds)
    return (
        f"{record.worker_id} has sent no heartbeat for {silent}: it is suspended or its "
        f"machine is overloaded; its run goes on only after `kill -CONT {record.pid}` on "
        f"{record.host}, or elsewhere after `kill -9 {record.pid}`"
    )
