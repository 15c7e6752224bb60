"""Table 5: recorded times and memory of training steps beside the paper's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from switchhead_lab.budget.counter import closed_form_counter
from switchhead_lab.budget.matching import baseline_model, match_declared
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.files import near_miss
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.number_text import short_count
from switchhead_lab.paper.figures import Row, load_tables
from switchhead_lab.reporting.gpu_resources import run_caption, timed_steps
from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.paper_tables.declarations import (
    Declaration,
    is_dedicated,
    read_declarations,
)
from switchhead_lab.reporting.paper_tables.view import NOT_RUN_CELL, PaperTable, View
from switchhead_lab.reporting.resources import paper_row, ratio_cell, source_of
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.tracking.bench_record import (
    read_gpu_runs,
    read_step_bench,
    step_bench_path,
    step_id,
)

NUMBER = 5
# Table 5 times models of Table 1, whose rows its sweep names.
_TABLE_OF_ITS_SWEEP = 1
_FLOATS, _BYTES = "floats saved", "bytes allocated"


@dataclass(frozen=True)
class _Timing:
    """A timed training step of a model of the table.

    Attributes:
        printed: The row of the paper.
        model: Name of our model.
        size: Size of the sweep.
        where: Device, and how the step was run.
        ms: Median milliseconds.
        relative_time: Over the dense baseline's; None if that was not timed.
        memory: Floats saved for the backward pass, or bytes allocated.
        relative_memory: Over the dense baseline's; None if that was not timed.
        unit: What `memory` counts.
    """

    printed: Row
    model: str
    size: str
    where: str
    ms: float
    relative_time: float | None
    memory: float
    relative_memory: float | None
    unit: str


def read_steps(sweeps_dir: Path, reports_dir: Path, size: str = "") -> PaperTable:
    """Assemble Table 5 from the recorded step benchmarks of its sweep, on any device.

    Args:
        sweeps_dir: Folder of sweep files.
        reports_dir: Folder of all reports, which holds the benchmarks.
        size: Size of the sweep; by default all that were timed.

    Raises:
        ConfigError: If its sweep does not have the size.
        RecordError: If a benchmark's file is damaged or of another version.
    """
    declared = [
        one
        for one in read_declarations(sweeps_dir, _TABLE_OF_ITS_SWEEP).found
        if is_dedicated(one.sweep.name, NUMBER)
    ]
    sizes = [one.sweep.size for one in declared]
    if size and size not in sizes:
        raise ConfigError(
            f"--size {size}: no sweep of Table {NUMBER} has this size{near_miss(size, sizes)}; "
            f"sizes: {', '.join(sizes) or 'none'}"
        )
    wanted = [one for one in declared if size in ("", one.sweep.size)]
    recorded = [found for one in wanted for found in _recorded(one.sweep, reports_dir)]
    timings = [timing for found in recorded for timing in found.timings]
    printed = next(table["rows"] for table in load_tables() if table["id"] == NUMBER)
    missing = tuple(_missing(printed, timings, declared))
    columns = _columns()
    at_size = f", size {size}" if size else ""
    return PaperTable(
        number=NUMBER,
        size=size,
        title=f"Table {NUMBER} of the paper beside ours{at_size}",
        caption=(*missing, *_CAPTION, *dict.fromkeys(found.caption for found in recorded)),
        grid=Grid("table", columns, tuple(_rows(printed, timings))),
        views=(
            View("table", "Ratios to the dense baseline", _RELATIVE),
            View("absolute", "Milliseconds and memory of a training step", _ABSOLUTE),
        ),
        terminal=_TERMINAL,
        incomplete=missing,
        latex_line="INCOMPLETE: some rows are not timed; see the notes." if missing else "",
        sources=list({found.source["file"]: found.source for found in recorded}.values()),
    )


_CAPTION = (
    "Paper: arXiv:2312.07987, Table 5, as printed: the whole training pipeline on RTX 3090 and "
    "V100 cards, with allocated memory.",
    "Ours: median of whole training steps by `lab bench step` or the GPU command. Milliseconds and "
    "memory of another machine or size are not comparable with the paper's: compare the ratios to "
    "the dense baseline timed beside it.",
    "Memory of ours: floats saved for the backward pass of a micro-batch on a CPU, the peak "
    "allocation in bytes on a GPU.",
)
_RELATIVE = (
    *("model", "size", "where"),
    *("paper_relative_time", "relative_time", "relative_time_difference"),
    *("paper_relative_memory", "relative_memory", "relative_memory_difference"),
)
_ABSOLUTE = (
    *("model", "size", "where", "paper_ms", "ms"),
    *("paper_memory", "memory", "memory_unit"),
)
_TERMINAL = (
    *("row", "paper_relative_time", "relative_time", "paper_relative_memory", "relative_memory"),
    *("size", "where"),
)


def _columns() -> tuple[Column, ...]:
    return (
        Column("row", "row of the paper", is_text=True),
        Column("model", "our model", is_text=True),
        Column("size", "size", is_text=True),
        Column("where", "timed on", is_text=True),
        Column("paper_ms", "ms/step: paper", short="ms, paper"),
        Column("ms", "ms/step: ours", short="ms, ours"),
        Column("paper_relative_time", "time / dense: paper", short="time, paper"),
        Column("relative_time", "time / dense: ours", short="time, ours"),
        Column("relative_time_difference", "time / dense: ours - paper", short="difference"),
        Column("paper_memory", "memory: paper", short="memory, paper"),
        Column("memory", "memory: ours", short="memory, ours"),
        Column("memory_unit", "unit", is_text=True),
        Column("paper_relative_memory", "memory / dense: paper", short="memory, paper"),
        Column("relative_memory", "memory / dense: ours", short="memory, ours"),
        Column("relative_memory_difference", "memory / dense: ours - paper", short="difference"),
    )


@dataclass(frozen=True)
class _Recorded:
    """The timings of one file.

    Attributes:
        timings: Timed steps of models of the table.
        caption: How they were timed.
        source: Name and SHA-256 of the file.
    """

    timings: list[_Timing]
    caption: str
    source: dict[str, str]


def _recorded(sweep: Sweep, reports_dir: Path) -> Iterator[_Recorded]:
    """Yield the files with timings of a sweep's models: this machine's, then those of GPUs."""
    bench = read_step_bench(reports_dir, sweep)
    if bench is not None:
        path = step_bench_path(reports_dir, sweep)
        yield _read(path, lambda: _of_bench(sweep, bench, path))
    models = _models_by_step(sweep)
    for path, results in read_gpu_runs(reports_dir):
        found = _read(path, partial(_of_gpu, sweep, models, path, results))
        if found.timings:
            yield found


def _read(path: Path, recorded: Callable[[], _Recorded]) -> _Recorded:
    try:
        return recorded()
    except (KeyError, TypeError) as error:
        raise RecordError(
            f"{path}: no timings of this version ({error}); time the steps again"
        ) from None


def _of_bench(sweep: Sweep, bench: dict[str, Any], path: Path) -> _Recorded:
    caption = (
        f"{sweep.size}, {bench['device']}: median of {bench['n_rounds']} steps of each model, in "
        "turn in one process."
    )
    return _Recorded(list(_bench_timings(sweep, bench)), caption, source_of(path))


def _of_gpu(
    sweep: Sweep,
    models: Mapping[str, tuple[str, ModelConfig]],
    path: Path,
    results: dict[str, Any],
) -> _Recorded:
    card = path.parent.name
    source = source_of(path) | {"file": f"{card}/{path.name}"}
    timings = list(_gpu_timings(sweep, models, card, results))
    return _Recorded(timings, f"{card}: {run_caption(results)}", source)


def _bench_timings(sweep: Sweep, bench: dict[str, Any]) -> Iterator[_Timing]:
    where = f"{bench['device']}, {bench['precision']}"
    for step in bench["steps"]:
        printed = paper_row(sweep, step["model"], step["family"])
        if printed:
            yield _Timing(
                printed=printed,
                model=step["model"],
                size=sweep.size,
                where=where,
                ms=step["ms"],
                relative_time=step["relative_time"],
                memory=step["saved_floats"],
                relative_memory=step["relative_saved_floats"],
                unit=_FLOATS,
            )


def _models_by_step(sweep: Sweep) -> dict[str, tuple[str, ModelConfig]]:
    """Return name and architecture of the sweep's models by the identity of their steps."""
    counter = closed_form_counter(sweep.convention)
    models = {sweep.baseline.name: baseline_model(sweep)}
    models |= {model.name: match_declared(sweep, model, counter) for model in sweep.models}
    sizes = (sweep.vocab_size, sweep.n_outputs, sweep.training.batch_size)
    return {step_id(model, *sizes): (name, model) for name, model in models.items()}


def _gpu_timings(
    sweep: Sweep,
    models: Mapping[str, tuple[str, ModelConfig]],
    card: str,
    results: dict[str, Any],
) -> Iterator[_Timing]:
    steps = list(timed_steps(models, results))
    base = {mode: step for (name, _), mode, step in steps if name == sweep.baseline.name}
    for (name, model), mode, step in steps:
        printed = paper_row(sweep, name, model.family)
        if not printed:
            continue
        dense = base.get(mode)
        n_bytes = step["peak_memory_bytes"]
        yield _Timing(
            printed=printed,
            model=name,
            size=sweep.size,
            where=f"{card}, {mode}",
            ms=step["ms"],
            relative_time=step["ms"] / dense["ms"] if dense else None,
            memory=n_bytes,
            relative_memory=n_bytes / dense["peak_memory_bytes"] if dense else None,
            unit=_BYTES,
        )


def _missing(
    printed: Sequence[Row], timings: Sequence[_Timing], declared: Sequence[Declaration]
) -> Iterator[str]:
    """Yield the rows that nobody has timed, by size, with the command that times them."""
    timed = [timing.printed for timing in timings]
    by_params: dict[int, list[str]] = {}
    for row in printed:
        if row not in timed:
            by_params.setdefault(row["params"], []).append(row["model"])
    for params, models in by_params.items():
        having = [one for one in declared if one.sweep.paper and one.sweep.paper.params == params]
        todo = "no sweep file declares it"
        if having:
            todo = f"run `{having[0].command_of('bench step')}`"
        yield f"INCOMPLETE: {params}M: no timing of {', '.join(models)}: {todo}."


def _rows(printed: Sequence[Row], timings: Sequence[_Timing]) -> Iterator[tuple[Cell, ...]]:
    for row in printed:
        own = [timing for timing in timings if timing.printed == row]
        yield from (_cells(row, timing) for timing in own)
        if not own:
            yield _cells(row, None)


def _cells(row: Row, timing: _Timing | None) -> tuple[Cell, ...]:
    label = f"{row['params']}M {row['model']}"
    paper_time, paper_memory = row["relative_time"], row["relative_memory"]
    ram = row["ram_per_gpu"]
    facts = [NOT_RUN_CELL] * 3
    ms = memory = NOT_RUN_CELL
    unit, time, share = Cell(MISSING), None, None
    if timing is not None:
        facts = [Cell(text, text) for text in (timing.model, timing.size, timing.where)]
        ms = Cell(f"{timing.ms:,.1f}", timing.ms)
        memory = Cell(short_count(timing.memory), timing.memory)
        unit = Cell(timing.unit, timing.unit)
        time, share = timing.relative_time, timing.relative_memory
    return (
        Cell(label, label),
        *facts,
        Cell(str(row["ms_per_iteration"]), row["ms_per_iteration"]),
        ms,
        ratio_cell(paper_time),
        ratio_cell(time),
        _difference(time, paper_time),
        Cell(ram, ram),
        memory,
        unit,
        ratio_cell(paper_memory),
        ratio_cell(share),
        _difference(share, paper_memory),
    )


def _difference(ours: float | None, paper: float) -> Cell:
    if ours is None:
        return Cell(MISSING)
    return Cell(f"{ours - paper:+.2f}", ours - paper)
