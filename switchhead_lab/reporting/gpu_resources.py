"""Table 5 from recorded runs of the GPU command, beside the paper's values."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.resources import Resources, paper_row, ratio_cell, source_of
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.tracking.bench_record import STEP_MODES, read_gpu_runs, step_id
from switchhead_lab.tracking.sweep_record import ResolvedModel, SweepRecord

Known = TypeVar("Known")
_PAPER_CAPTION = "The paper's ratios are those of Table 5, measured on other cards without graphs."
_PARTS = ("steps", "compiled")


def read_gpu_resources(record: SweepRecord, reports_dir: Path) -> tuple[Resources, ...]:
    """Read the timed steps of a sweep's models from recorded runs, one table per card.

    Steps are found by architecture, vocabulary and batch, so timings of other sweeps count too.

    Args:
        record: The sweep's record; candidates of its searches have no rows.
        reports_dir: Folder of all reports.

    Raises:
        RecordError: If a run's file is damaged or of another version.
    """
    runs = list(read_gpu_runs(reports_dir))
    models = _models_by_step(record) if runs else {}
    tables = (_resources(record.sweep, models, path, results) for path, results in runs)
    return tuple(table for table in tables if table is not None)


def _resources(
    sweep: Sweep, models: dict[str, ResolvedModel], path: Path, results: dict[str, Any]
) -> Resources | None:
    """Return one run's table; None if it timed none of the models."""
    try:
        steps = list(timed_steps(models, results))
        if not steps:
            return None
        grid = _grid(sweep, steps)
        caption = f"{run_caption(results)} {_PAPER_CAPTION}"
    except (KeyError, TypeError) as error:
        raise RecordError(
            f"{path}: no GPU run of this version ({error}); run the GPU command again"
        ) from None
    return Resources(f"resources-{path.parent.name}", grid, caption, source_of(path))


def timed_steps(
    models: Mapping[str, Known], results: dict[str, Any]
) -> Iterator[tuple[Known, str, dict[str, Any]]]:
    """Yield model, mode and figures of every timed step of a recorded run of the GPU command.

    Args:
        models: Models by the identity of their steps.
        results: Contents of the run's file.

    Raises:
        KeyError: If the file is of another version.
    """
    for part in results["parts"]:
        if part["name"] not in _PARTS:
            continue
        for case in part["cases"]:
            findings = case["findings"]
            known = models.get(findings.get("step_id", ""))
            if known is not None:
                yield from (
                    (known, mode, findings[mode]) for mode in STEP_MODES if mode in findings
                )


def _models_by_step(record: SweepRecord) -> dict[str, ResolvedModel]:
    """Return the declared models by the identity of their steps."""
    sweep = record.sweep
    declared = {sweep.baseline.name, *(model.name for model in sweep.models)}
    models = {known.name: known for known in record.models if known.name in declared}
    sizes = (sweep.vocab_size, sweep.n_outputs, sweep.training.batch_size)
    return {step_id(known.model, *sizes): known for known in models.values()}


def _grid(sweep: Sweep, steps: list[tuple[ResolvedModel, str, dict[str, Any]]]) -> Grid:
    columns = (
        Column("model", "model", is_text=True),
        Column("mode", "step", is_text=True),
        Column("ms_per_step", "ms/step"),
        Column("relative_time", f"time / {sweep.baseline.name}"),
        Column("paper_relative_time", "time / dense: paper"),
        Column("peak_memory_bytes", "memory, GB"),
        Column("relative_memory", f"memory / {sweep.baseline.name}"),
        Column("paper_relative_memory", "memory / dense: paper"),
        Column("micro_batch_size", "micro-batch"),
    )
    base = {mode: step for known, mode, step in steps if known.name == sweep.baseline.name}
    rows = tuple(
        _cells(
            known.name,
            mode,
            step,
            base.get(mode),
            paper_row(sweep, known.name, known.model.family),
        )
        for known, mode, step in steps
    )
    return Grid("resources", columns, rows)


def _cells(
    model: str,
    mode: str,
    step: dict[str, Any],
    base: dict[str, Any] | None,
    paper: dict[str, Any],
) -> tuple[Cell, ...]:
    def over_base(key: str) -> Cell:
        return ratio_cell(None if base is None else step[key] / base[key])

    n_bytes = step["peak_memory_bytes"]
    return (
        Cell(model, model),
        Cell(mode, mode),
        Cell(f"{step['ms']:,.1f}", step["ms"]),
        over_base("ms"),
        ratio_cell(paper.get("relative_time")),
        Cell(f"{n_bytes / 1e9:.2f}", n_bytes),
        over_base("peak_memory_bytes"),
        ratio_cell(paper.get("relative_memory")),
        Cell(str(step["micro_batch_size"]), step["micro_batch_size"]),
    )


def run_caption(results: dict[str, Any]) -> str:
    """Return how a recorded run of the GPU command timed its steps, in sentences.

    Raises:
        KeyError: If the file is of another version.
    """
    facts = results["machine"].get("facts", {})
    names = ("device_name", "cuda", "torch", "triton")
    device, cuda, torch, triton = (facts.get(name, MISSING) for name in names)
    precision = facts.get("host", {}).get("precision", MISSING)
    driver = facts.get("nvidia_smi", {}).get("driver_version", MISSING)
    commit = results["provenance"]["git"]["commit"] or "unknown"
    return (
        f"Median of whole training steps, each model alone on {device} (driver {driver}, CUDA "
        f"{cuda}, PyTorch {torch}, Triton {triton}; commit {commit[:12]}), {precision}; memory is "
        "the peak allocation. Captured steps are replayed as one CUDA graph."
    )
