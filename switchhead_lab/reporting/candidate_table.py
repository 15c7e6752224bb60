"""The table of a sweep's candidates."""

from collections.abc import Sequence

from switchhead_lab.budget.cost_axes import (
    ATTENTION_MACS,
    ATTENTION_MEMORY,
    MODEL_MACS,
    PARAMETERS,
    axis_of,
)
from switchhead_lab.reporting.grids import SIZE_COLUMNS, Cell, Column, Grid, count_cell, size_cells
from switchhead_lab.reporting.report_data import CandidateRow, ReportData
from switchhead_lab.reporting.statistics import MISSING


def candidate_grid(data: ReportData) -> Grid:
    """Build the table of the candidates of all studies, infeasible ones included."""
    studies, quality = data.record.sweep.all_studies, data.quality
    convention = data.record.sweep.convention
    in_sizes = {column.key for column in SIZE_COLUMNS}
    searched = dict.fromkeys(path for study in studies for path in study.space)
    paths = [path for path in searched if path not in in_sizes]
    has_pareto = any(len(study.objectives) > 1 for study in studies)
    columns = (
        *((Column("study", "study", is_text=True),) if len(studies) > 1 else ()),
        Column("trial", "trial", is_text=True),
        *(Column(path, path) for path in paths),
        *SIZE_COLUMNS,
        Column("n_parameters", "parameters"),
        Column(quality.validation.key, f"validation {quality.metric.heading}"),
        Column("macs", f"attention MACs ({convention})"),
        Column("model_macs", "model MACs per token"),
        Column("memory_floats", "attention memory (floats)"),
        *((Column("pareto", "Pareto set", is_text=True),) if has_pareto else ()),
        Column("state", "state", is_text=True),
        Column("reason", "reason", is_text=True),
        Column("run_name", "", is_text=True),
    )
    rows = []
    for row in data.candidates:
        cells = _candidate_cells(row, paths, data)
        rows.append(tuple(cells[column.key] for column in columns))
    return Grid("candidates", columns, tuple(rows))


def _candidate_cells(row: CandidateRow, paths: Sequence[str], data: ReportData) -> dict[str, Cell]:
    """Return the cells of a candidate by column key."""
    quality, convention = data.quality, data.record.sweep.convention
    runs = (row.run.member.run_name,) if row.run else ()
    run_name = runs[0] if runs else None
    value = None if row.quality is None else quality.metric.scale * row.quality
    text = quality.text(row.quality, MISSING)
    sizes = dict(zip((c.key for c in SIZE_COLUMNS), size_cells(row), strict=True))
    return {
        "study": Cell(row.study, row.study, runs=runs),
        "trial": Cell(row.key, row.key, runs=runs),
        **{path: _searched_cell(row, path, runs) for path in paths},
        **sizes,
        "n_parameters": count_cell(row, axis_of(PARAMETERS, convention)),
        quality.validation.key: Cell(text, value, runs=runs if value is not None else ()),
        "macs": count_cell(row, axis_of(ATTENTION_MACS, convention)),
        "model_macs": count_cell(row, axis_of(MODEL_MACS, convention)),
        "memory_floats": count_cell(row, axis_of(ATTENTION_MEMORY, convention)),
        "pareto": Cell("*" if row.is_pareto else "", row.is_pareto, runs=runs),
        "state": Cell(row.state, row.state, runs=runs),
        "reason": Cell(" ".join(row.reason.split()) or MISSING, row.reason or None, runs=runs),
        "run_name": Cell(run_name or MISSING, run_name, runs=runs),
    }


def _searched_cell(row: CandidateRow, path: str, runs: tuple[str, ...]) -> Cell:
    value = row.point.get(path)
    if value is None:
        return Cell(MISSING, None, runs=runs)
    return Cell(f"{value:.4g}" if isinstance(value, float) else str(value), value, runs=runs)
