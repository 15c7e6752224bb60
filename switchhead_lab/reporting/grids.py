"""Tables as data: cells with their printed text, exact value and source runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from switchhead_lab.budget.cost_axes import (
    ATTENTION_MACS,
    ATTENTION_MEMORY,
    MODEL_MACS,
    PARAMETERS,
    CostAxis,
    axis_of,
)
from switchhead_lab.number_text import short_count
from switchhead_lab.reporting.quality import (
    MS_PER_STEP,
    TOKENS_PER_SECOND,
    MeasuredQuantity,
    Quality,
)
from switchhead_lab.reporting.report_data import CandidateRow, ModelRow, ReportData
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.tracking.record import ScoredSplit

NOT_DEFINED = "not defined"
"""Cell text of a cost that a convention does not define."""
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: Printed text.
        value: The number at full precision, or a word; None without one.
        std: Sample standard deviation of a mean over seeds.
        values: The values behind a mean, one per run.
        runs: Names of the runs behind the value, in the order of `values`.
        short: Printed text in narrow tables; `text` if empty.
    """

    text: str
    value: float | int | str | None = None
    std: float | None = None
    values: tuple[float, ...] = ()
    runs: tuple[str, ...] = ()
    short: str = ""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: Name in CSV and provenance.
        heading: Name in print; empty for columns of the CSV file only.
        is_text: Whether it holds words, left-aligned.
        is_mean: Whether the CSV file gives mean and standard deviation.
    """

    key: str
    heading: str
    is_text: bool = False
    is_mean: bool = False


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        name: Name of its files.
        columns: Its columns; the first names the row.
        rows: Cells, one per column.
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def printed(self) -> list[int]:
        """Positions of the columns that are printed."""
        return [number for number, column in enumerate(self.columns) if column.heading]

    def headings(self) -> list[str]:
        """Return the printed headings."""
        return [self.columns[number].heading for number in self.printed]

    def texts(self) -> list[list[str]]:
        """Return the printed cells, row by row."""
        return [[row[number].text for number in self.printed] for row in self.rows]

    def cell(self, row: Sequence[Cell], key: str) -> Cell:
        """Return the cell of a row in the column `key`."""
        return row[[column.key for column in self.columns].index(key)]

    def records(self) -> list[dict[str, float | int | str | None]]:
        """Return the numbers at full precision, one record per row."""
        records: list[dict[str, float | int | str | None]] = []
        for row in self.rows:
            record: dict[str, float | int | str | None] = {}
            for column, cell in zip(self.columns, row, strict=True):
                if column.is_mean:
                    record[f"{column.key}_mean"] = cell.value
                    record[f"{column.key}_std"] = cell.std
                else:
                    record[column.key] = cell.value
            records.append(record)
        return records


def model_grid(data: ReportData, times: Mapping[str, float] | None = None) -> Grid:
    """Build the main table: every model beside the dense baseline.

    Args:
        data: The report's data.
        times: Milliseconds of a training step by model, all timed in turn in one process; models
            that were not timed are missing.
    """
    dense, quality = data.baseline.name, data.quality
    convention = data.record.sweep.convention
    columns = (
        Column("model", "model", is_text=True),
        Column("role", ""),
        *_SIZE_COLUMNS,
        Column("n_parameters", "parameters"),
        Column("relative_parameter_difference", f"parameters vs {dense}"),
        Column("n_seeds", "n"),
        Column("n_seeds_declared", ""),
        Column(quality.validation.key, f"validation {quality.metric.heading}", is_mean=True),
        Column(quality.relative_key, quality.relative_heading(dense, "validation")),
        Column(quality.test.key, f"test {quality.metric.heading}", is_mean=True),
        Column(quality.relative_key_of("test"), quality.relative_heading(dense, "test")),
        Column("macs", f"attention MACs ({convention})"),
        Column("relative_macs", f"attention MACs / {dense}"),
        Column("relative_model_macs", f"model MACs / {dense}"),
        Column("memory_floats", f"attention memory (floats, {convention})"),
        Column("relative_memory_floats", f"attention memory / {dense}"),
        Column("interleaved_ms_per_step", "ms/step, interleaved"),
        Column("relative_interleaved_ms_per_step", f"ms/step / {dense}"),
        # Each run's own time, not comparable between runs: in the CSV file only.
        Column("ms_per_step", "", is_mean=True),
        Column("tokens_per_second", "", is_mean=True),
    )
    rows = tuple(_model_cells(row, data, times or {}) for row in data.models)
    return Grid("table", columns, rows)


def candidate_grid(data: ReportData) -> Grid:
    """Build the table of the candidates of all studies, infeasible ones included."""
    studies, quality = data.record.sweep.all_studies, data.quality
    convention = data.record.sweep.convention
    in_sizes = {column.key for column in _SIZE_COLUMNS}
    searched = dict.fromkeys(path for study in studies for path in study.space)
    paths = [path for path in searched if path not in in_sizes]
    has_pareto = any(len(study.objectives) > 1 for study in studies)
    columns = (
        *((Column("study", "study", is_text=True),) if len(studies) > 1 else ()),
        Column("trial", "trial", is_text=True),
        *(Column(path, path) for path in paths),
        *_SIZE_COLUMNS,
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


_SIZE_COLUMNS = (
    Column("n_heads", "heads"),
    Column("n_experts", "experts"),
    Column("top_k", "k"),
    Column("d_head", "d_head"),
    Column("d_ff", "d_ff"),
)


def _model_cells(row: ModelRow, data: ReportData, times: Mapping[str, float]) -> tuple[Cell, ...]:
    baseline, quality, convention = data.baseline, data.quality, data.record.sweep.convention
    macs, memory = (axis_of(kind, convention) for kind in (ATTENTION_MACS, ATTENTION_MEMORY))
    n_seeds, n_declared = len(row.finished), len(row.seeds)
    of = "" if row.is_complete else f" of {n_declared}"
    return (
        Cell(row.name, row.name),
        Cell(row.role, row.role),
        *_size_cells(row),
        count_cell(row, axis_of(PARAMETERS, convention)),
        _difference_cell(row, baseline),
        Cell(f"{n_seeds}{of}", n_seeds, runs=_names(row)),
        Cell(str(n_declared), n_declared),
        mean_cell(row, quality.validation),
        quality_cell(row, baseline, quality, "validation"),
        mean_cell(row, quality.test),
        quality_cell(row, baseline, quality, "test"),
        count_cell(row, macs),
        ratio_cell(row, baseline, macs),
        ratio_cell(row, baseline, axis_of(MODEL_MACS, convention)),
        count_cell(row, memory),
        ratio_cell(row, baseline, memory),
        *_time_cells(row, baseline, times),
        mean_cell(row, MS_PER_STEP),
        mean_cell(row, TOKENS_PER_SECOND),
    )


def _time_cells(row: ModelRow, baseline: ModelRow, times: Mapping[str, float]) -> list[Cell]:
    """Return the cells of a model's interleaved step time, and of its ratio to the baseline."""
    own, base = times.get(row.name), times.get(baseline.name)
    if own is None:
        return [Cell(MISSING), Cell(MISSING)]
    time = Cell(f"{own:,.1f}", own, runs=_names(row))
    if base is None:
        return [time, Cell(MISSING)]
    return [time, Cell(f"{100 * own / base:.1f}%", own / base, runs=_names(row, baseline))]


def _candidate_cells(row: CandidateRow, paths: Sequence[str], data: ReportData) -> dict[str, Cell]:
    """Return the cells of a candidate by column key."""
    quality, convention = data.quality, data.record.sweep.convention
    runs = (row.run.member.run_name,) if row.run else ()
    run_name = runs[0] if runs else None
    value = None if row.quality is None else quality.metric.scale * row.quality
    text = quality.text(row.quality, MISSING)
    sizes = dict(zip((c.key for c in _SIZE_COLUMNS), _size_cells(row), strict=True))
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


def _size_cells(row: ModelRow | CandidateRow) -> list[Cell]:
    sizes = row.sizes
    numbers = (sizes.n_heads, sizes.n_experts, sizes.top_k, sizes.d_head, sizes.d_ff)
    return [
        Cell(MISSING if number is None else str(number), number, runs=_names(row))
        for number in numbers
    ]


def count_cell(row: ModelRow | CandidateRow, axis: CostAxis) -> Cell:
    """Make the cell of a row's cost."""
    if row.costs is None:
        return Cell(MISSING)
    number = axis.read(row.costs)
    if number is None:
        return Cell(NOT_DEFINED)
    return Cell(short_count(number), number, runs=_names(row))


def ratio_cell(row: ModelRow, baseline: ModelRow, axis: CostAxis) -> Cell:
    """Make the cell of a cost relative to the baseline's, in percent."""
    if row.costs is None or baseline.costs is None:
        return Cell(MISSING)
    own, base = axis.read(row.costs), axis.read(baseline.costs)
    if own is None or base is None:
        return Cell(NOT_DEFINED)
    ratio = own / base
    text, short = f"{100 * ratio:.1f}%", f"{100 * ratio:.0f}%"
    return Cell(text, ratio, runs=_names(row, baseline), short=short)


def _difference_cell(row: ModelRow, baseline: ModelRow) -> Cell:
    ratio = ratio_cell(row, baseline, axis_of(PARAMETERS, ""))
    if not isinstance(ratio.value, float):
        return ratio
    difference = ratio.value - 1
    return Cell(f"{100 * difference:+.2f}%", difference, runs=ratio.runs)


def _names(*rows: ModelRow | CandidateRow) -> tuple[str, ...]:
    """Return the names of the runs behind rows, without duplicates."""
    runs = [
        run.member.run_name
        for row in rows
        for run in (row.finished if isinstance(row, ModelRow) else [row.run])
        if run is not None
    ]
    return tuple(dict.fromkeys(runs))


def mean_cell(row: ModelRow, quantity: MeasuredQuantity) -> Cell:
    """Make the cell of a measured quantity over the seeds of a model."""
    statistics, decimals = row.statistics(quantity), quantity.decimals
    mean = statistics.mean
    return Cell(
        text=statistics.text(decimals),
        value=mean,
        std=statistics.std,
        values=statistics.values,
        runs=_names(row),
        short=statistics.short_text(decimals),
    )


def quality_cell(row: ModelRow, baseline: ModelRow, quality: Quality, split: ScoredSplit) -> Cell:
    """Make the cell that compares a model's quality metric on a split with the baseline's."""
    quantity = quality.of(split)
    if quality.metric.is_compared_by_ratio:
        return measured_ratio_cell(row, baseline, quantity)
    ours, theirs = row.statistics(quantity), baseline.statistics(quantity)
    if ours.mean is None or theirs.mean is None:
        return Cell(MISSING)
    difference = ours.mean - theirs.mean
    if math.isnan(difference):
        return Cell(MISSING)
    text = f"{difference:+.{quantity.decimals}f}"
    return Cell(
        f"{text}{_gap(row, baseline, quantity)}",
        difference,
        runs=_names(row, baseline),
        short=text,
    )


def measured_ratio_cell(row: ModelRow, baseline: ModelRow, quantity: MeasuredQuantity) -> Cell:
    """Make the cell of a measured mean relative to the baseline.

    If either mean has fewer seeds than declared, the cell marks that side.
    """
    ours, theirs = row.statistics(quantity), baseline.statistics(quantity)
    if ours.mean is None or theirs.mean is None:
        return Cell(MISSING)
    ratio = ours.mean / theirs.mean
    if math.isnan(ratio):  # both are infinite
        return Cell(MISSING)
    text, gap = f"{ratio:.3f}{TIMES}", _gap(row, baseline, quantity)
    return Cell(f"{text}{gap}", ratio, runs=_names(row, baseline), short=text)


def _gap(row: ModelRow, baseline: ModelRow, quantity: MeasuredQuantity) -> str:
    """Return the mark of missing seeds in a comparison."""
    ours, theirs = row.statistics(quantity), baseline.statistics(quantity)
    return ours.gap or (
        theirs.gap and f" [{baseline.name} {theirs.n} of {theirs.n_expected} seeds]"
    )
