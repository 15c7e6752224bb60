"""Table 5: time and memory of a training step as benched on a machine, beside the paper's."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import RecordError
from switchhead_lab.number_text import short_count
from switchhead_lab.paper.figures import load_tables
from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.tracking.bench_record import read_step_bench, step_bench_path
from switchhead_lab.tracking.sweep_record import sweep_id

_TABLE = 5


@dataclass(frozen=True)
class Resources:
    """Timed training steps as a table.

    Attributes:
        name: Name of its files, without suffix; begins with "resources".
        grid: The table.
        caption: Sentence above it.
        source: Name of the file with the timings and the SHA-256 of its contents.
    """

    name: str
    grid: Grid
    caption: str
    source: dict[str, str]


def read_resources(sweep: Sweep, reports_dir: Path) -> Resources | None:
    """Read the step bench of a sweep on this machine; None if it was never benched.

    Raises:
        RecordError: If the bench's file is damaged or of another version.
    """
    bench = read_step_bench(reports_dir, sweep.name, sweep.size)
    if bench is None:
        return None
    path = step_bench_path(reports_dir, sweep.name, sweep.size)
    try:
        grid, caption = _grid(bench, sweep), _caption(bench, sweep)
    except (KeyError, TypeError) as error:
        raise RecordError(
            f"{path}: no step bench of this version ({error}); run `{_command(sweep)}` again"
        ) from None
    return Resources("resources", grid, caption, source_of(path))


def source_of(path: Path) -> dict[str, str]:
    """Return the entry for a file with timings in a report's provenance."""
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _grid(bench: dict[str, Any], sweep: Sweep) -> Grid:
    columns = (
        Column("model", "model", is_text=True),
        Column("ms_per_step", "ms/step"),
        Column("relative_time", "time / first"),
        Column("paper_relative_time", "time / dense: paper"),
        Column("saved_floats", "floats kept"),
        Column("relative_saved_floats", "floats saved / first"),
        Column("paper_relative_memory", "memory / dense: paper"),
        Column("times_bound", "time / product bound"),
        Column("routing_fraction", "routing"),
    )
    rows = tuple(_cells(step, paper_row(sweep, step["model"])) for step in bench["steps"])
    return Grid("resources", columns, rows)


def _caption(bench: dict[str, Any], sweep: Sweep) -> str:
    warning = ""
    if bench["sweep_id"] != sweep_id(sweep):
        warning = (
            f"**WARNING: benched as {bench['sweep_id']}, while this is {sweep_id(sweep)}; "
            f"run `{_command(sweep)}` again.** "
        )
    return (
        f"{warning}Median of {bench['n_rounds']} whole training steps of each model, in turn in "
        f"one process on {bench['device']}, {bench['precision']}; floats saved for the backward "
        "pass of a micro-batch, all layers, parameters left out. The product bound is the time of "
        f"all products at {bench['peak_gflops']:,.0f} GFLOP/s, the speed of the best square one "
        f"here. Routing is timed on its own. The paper's ratios are those of Table {_TABLE}, "
        "measured on GPUs, memory being that allocated."
    )


def _command(sweep: Sweep) -> str:
    return f"lab bench step {sweep.name} --size {sweep.size}"


def _paper_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = next(t["rows"] for t in load_tables() if t["id"] == _TABLE)
    return rows


def paper_row(sweep: Sweep, name: str) -> dict[str, Any]:
    """Return Table 5's row for a model of a sweep: the baseline's, SwitchHead's or MoA's.

    Args:
        sweep: The sweep; its paper row determines the size.
        name: Name of the model, or title of a candidate.

    Returns:
        The row as printed; empty where the paper has none.
    """
    params = sweep.paper.params if sweep.paper else None
    paper = {row["model"]: row for row in _paper_rows() if row["params"] == params}
    if name == sweep.baseline.name:
        return paper.get("transformer", {})
    # The paper has no row of the kind "dense": declared ones have fewer heads than its own.
    kinds: dict[str, str] = {model.name: model.kind for model in sweep.models}
    for study in sweep.studies:
        if name.startswith(f"{study.name} ") and isinstance(study.model, dict):
            return paper.get(str(study.model.get("kind")), {})
    return paper.get(kinds.get(name, ""), {})


def ratio_cell(value: float | None) -> Cell:
    """Return a ratio with two decimals."""
    return Cell(MISSING) if value is None else Cell(f"{value:.2f}", value)


def _cells(step: dict[str, Any], paper: dict[str, Any]) -> tuple[Cell, ...]:
    return (
        Cell(step["model"], step["model"]),
        Cell(f"{step['ms']:,.1f}", step["ms"]),
        ratio_cell(step["relative_time"]),
        ratio_cell(paper.get("relative_time")),
        Cell(short_count(step["saved_floats"]), step["saved_floats"]),
        ratio_cell(step["relative_saved_floats"]),
        ratio_cell(paper.get("relative_memory")),
        Cell(f"{step['times_bound']:.1f}", step["times_bound"]),
        Cell(f"{100 * step['routing_fraction']:.1f}%", step["routing_fraction"]),
    )
