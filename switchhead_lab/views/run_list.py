"""Output of `lab runs list`."""

from collections.abc import Iterable
from pathlib import Path

from switchhead_lab.number_text import NOTHING, local_time
from switchhead_lab.terminal_table import Table
from switchhead_lab.tracking.run_listing import RunSummary

_COLUMNS = ("run", "state", "step", "validation", "test", "parameters", "ms/step", "started")
# The least useful first.
_OPTIONAL = ("parameters", "ms/step", "started", "test")


def run_table(runs_dir: Path, summaries: Iterable[RunSummary]) -> Table:
    """Return the listing of runs."""
    rows = [_summary_cells(summary) for summary in summaries]
    return Table(f"Runs in {runs_dir}", _COLUMNS, rows, 2, _OPTIONAL)


def no_runs_line(runs_dir: Path, n_all: int, sweep: str, state: str) -> str:
    """Return what to print instead of an empty listing.

    Args:
        runs_dir: Folder of all runs.
        n_all: Number of runs that no filter leaves out.
        sweep: The sweep that was asked for, or empty.
        state: The state that was asked for, or empty.
    """
    if not n_all:
        return f"no runs in {runs_dir}; start one with `lab train` or `lab sweep`"
    which = f"{state} runs" if state else "runs"
    of_sweep = f" of sweep {sweep}" if sweep else ""
    total = "1 run" if n_all == 1 else f"{n_all} runs"
    return f"no {which}{of_sweep} in {runs_dir}, which has {total} in all; see `lab runs list`"


def _summary_cells(summary: RunSummary) -> list[str]:
    return [
        summary.name,
        state_text(summary),
        f"{summary.step}/{summary.n_steps}",
        *(summary.headlines.get(split, NOTHING) for split in ("validation", "test")),
        _number(summary.n_parameters, ","),
        _number(summary.ms_per_step, ".1f"),
        local_time(summary.started_at),
    ]


def state_text(summary: RunSummary) -> str:
    """Return the state of a run with remarks, such as `finished (unsynced)`."""
    is_missing = summary.is_unsynced and summary.state != "running"
    remarks = ["process gone"] * summary.is_process_gone + ["unsynced"] * is_missing
    return summary.state + (f" ({', '.join(remarks)})" if remarks else "")


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)
