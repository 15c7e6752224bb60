"""Table 5: time and memory of a training step on this machine, beside the paper's."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import RecordError
from switchhead_lab.number_text import short_count
from switchhead_lab.paper.figures import load_tables, name_of
from switchhead_lab.reporting.commands import how_to, sweep_command
from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.report_data import ModelRow, ReportData
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.tracking.bench_record import read_step_bench, step_bench_path, step_id
from switchhead_lab.tracking.code_identity import recorded_code

_TABLE = 5


@dataclass(frozen=True)
class Resources:
    """Timed training steps as a table.

    Attributes:
        name: Name of its files, without suffix; starts with "resources".
        grid: The table.
        caption: Sentence above it.
        source: Name and SHA-256 of the file with the timings.
    """

    name: str
    grid: Grid
    caption: str
    source: dict[str, str]


def read_resources(sweep: Sweep, reports_dir: Path) -> Resources | None:
    """Read the step bench of a sweep on this machine; None if there is none.

    Raises:
        RecordError: If the bench's file is damaged or of another version.
    """
    bench = read_step_bench(reports_dir, sweep)
    if bench is None:
        return None
    path = step_bench_path(reports_dir, sweep)
    try:
        grid, caption = _grid(bench, sweep), _caption(bench)
    except (KeyError, TypeError) as error:
        raise RecordError(
            f"{path}: no step bench of this version ({error}); run `lab bench step` for it again"
        ) from None
    return Resources("resources", grid, caption, source_of(path))


@dataclass(frozen=True)
class StepTimes:
    """Step times of a report's models, timed in turn in one process.

    Attributes:
        ms: Median milliseconds of a training step by model, for timed models.
        rounds_ms: Milliseconds in each round by model; rounds are common to all models.
        caption: Sentence about them.
        command: The command that measures them; empty if no sweep file declares the sweep now.
    """

    ms: dict[str, float]
    rounds_ms: dict[str, list[float]]
    caption: str
    command: str


def read_step_times(data: ReportData, reports_dir: Path) -> StepTimes:
    """Read the step times of a report's models from the step bench of its sweep.

    Models are found by everything their step depends on, not by name, so a bench of an earlier
    declaration still counts for unchanged models.

    Raises:
        RecordError: If the bench's file is damaged.
    """
    sweep = data.record.sweep
    bench = read_step_bench(reports_dir, sweep) or {"steps": []}
    timed = {step.get("step_id"): step for step in bench["steps"] if "ms" in step}
    resolved = {row.name: row.resolved.model for row in data.models if row.resolved is not None}
    ids = {name: _step_id(sweep, model) for name, model in resolved.items()}
    found = {name: timed[key] for name, key in ids.items() if key in timed}
    codes = {row.name: _code_of(row) for row in data.models}
    ms = {name: one["ms"] for name, one in found.items() if one.get("code") == codes[name]}
    stale = ", ".join(name for name in found if name not in ms)
    command = sweep_command(sweep, data.sweeps_dir, "bench step")
    caption = (
        "ms/step is omitted: runs were timed separately, so their times are not comparable; "
        f"{how_to(sweep, data.sweeps_dir, 'times the models in turn', 'bench step')}."
    )
    if ms:
        by = f" (`{command}`)" if command else ""
        caption = (
            f"ms/step: median of {bench['n_rounds']} training steps of each model, in turn in one "
            f"process on {bench['device']}, {bench['precision']}{by}. "
            "table.csv also has each run's own step time, which is not comparable between runs."
        )
    if stale:
        caption += f" Timings of {stale} are omitted: they come from different code than its runs."
    rounds = {name: found[name].get("rounds_ms", []) for name in ms}
    return StepTimes(ms, rounds, caption, command)


def _code_of(row: ModelRow) -> str | None:
    """Return the identity of the code of a model's runs; None if unknown or not only one."""
    runs = [run.run for run in row.finished if run.run is not None]
    codes = {code.digest if (code := recorded_code(run.provenance)) else None for run in runs}
    return codes.pop() if len(codes) == 1 else None


def _step_id(sweep: Sweep, model: ModelConfig) -> str:
    return step_id(model, sweep.vocab_size, sweep.n_outputs, sweep.training.batch_size)


def source_of(path: Path) -> dict[str, str]:
    """Return the provenance entry of a file with timings."""
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _grid(bench: dict[str, Any], sweep: Sweep) -> Grid:
    columns = (
        Column("model", "model", is_text=True),
        Column("ms_per_step", "ms/step"),
        Column("relative_time", "time / first"),
        Column("paper_relative_time", "time / dense: paper"),
        Column("saved_floats", "floats saved"),
        Column("relative_saved_floats", "floats saved / first"),
        Column("paper_relative_memory", "memory / dense: paper"),
        Column("times_bound", "time / matmul bound"),
        Column("routing_fraction", "routing"),
    )
    rows = tuple(
        _cells(step, paper_row(sweep, step["model"], step["family"])) for step in bench["steps"]
    )
    return Grid("resources", columns, rows)


def _caption(bench: dict[str, Any]) -> str:
    return (
        f"Median of {bench['n_rounds']} whole training steps of each model, in turn in "
        f"one process on {bench['device']}, {bench['precision']}; floats saved for the backward "
        "pass of a micro-batch, all layers, without parameters. The matmul bound is the time of "
        f"all matmuls at {bench['peak_gflops']:,.0f} GFLOP/s, the speed of the best square matmul "
        f"here. Routing is timed separately. The paper's ratios are those of Table {_TABLE}, "
        "measured on GPUs, with allocated memory."
    )


def _paper_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = next(t["rows"] for t in load_tables() if t["id"] == _TABLE)
    return rows


def paper_row(sweep: Sweep, name: str, family: str) -> dict[str, Any]:
    """Return Table 5's row for a model of a sweep.

    Args:
        sweep: The sweep; its paper row determines the size.
        name: Name of the model; the paper's dense row belongs to the baseline only, since other
            dense models have fewer heads.
        family: Family of its attention and feed-forward block.

    Returns:
        The row as printed; empty if the paper has none.
    """
    params = sweep.paper.params if sweep.paper else None
    paper = {row["model"]: row for row in _paper_rows() if row["params"] == params}
    dense = paper.get("transformer", {})
    if name == sweep.baseline.name:
        return dense
    row = paper.get(name_of(family), {})
    return {} if row is dense else row


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
