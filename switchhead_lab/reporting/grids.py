"""Tables as data: cells with their printed text, exact value and source runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from switchhead_lab.budget.cost_axes import (
    CostAxis,
)
from switchhead_lab.number_text import short_count
from switchhead_lab.reporting.paired import paired
from switchhead_lab.reporting.quality import (
    MeasuredQuantity,
    Quality,
)
from switchhead_lab.reporting.report_data import CandidateRow, ModelRow
from switchhead_lab.reporting.statistics import MISSING, Statistics
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

    @property
    def narrow(self) -> str:
        """Printed text in narrow tables."""
        return self.short or self.text


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: Name in CSV and provenance.
        heading: Name in print; empty for columns of the CSV file only.
        is_text: Whether it holds words, left-aligned.
        is_mean: Whether the CSV file gives mean and standard deviation.
        short: Name in narrow tables, of one or more lines; `heading` if empty.
    """

    key: str
    heading: str
    is_text: bool = False
    is_mean: bool = False
    short: str = ""


SIZE_COLUMNS = (
    Column("n_heads", "heads", short="H"),
    Column("n_experts", "experts", short="E"),
    Column("top_k", "k"),
    Column("d_head", "d_head"),
    Column("d_ff", "d_ff"),
)


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

    def printed_columns(self) -> list[Column]:
        """Return the columns that are printed."""
        return [self.columns[number] for number in self.printed]

    def headings(self) -> list[str]:
        """Return the printed headings."""
        return [column.heading for column in self.printed_columns()]

    def cells(self) -> list[list[Cell]]:
        """Return the printed cells, row by row."""
        return [[row[number] for number in self.printed] for row in self.rows]

    def printing(self, keys: Sequence[str]) -> "Grid":
        """Return the table with only some columns in print; the CSV file keeps all.

        The first column stays; columns without any value are left out.
        """
        columns = [self.columns[0]]
        for number, column in enumerate(self.columns[1:], start=1):
            has_value = any(row[number].value is not None for row in self.rows)
            is_kept = column.key in keys and has_value
            columns.append(column if is_kept else replace(column, heading=""))
        return replace(self, columns=tuple(columns))

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


def size_cells(row: ModelRow | CandidateRow) -> list[Cell]:
    """Make the cells of a row's sizes, in the order of `SIZE_COLUMNS`."""
    sizes = row.sizes
    numbers = (sizes.n_heads, sizes.n_experts, sizes.top_k, sizes.d_head, sizes.d_ff)
    return [
        Cell(MISSING if number is None else str(number), number, runs=names_of(row))
        for number in numbers
    ]


def count_cell(row: ModelRow | CandidateRow, axis: CostAxis) -> Cell:
    """Make the cell of a row's cost."""
    if row.costs is None:
        return Cell(MISSING)
    number = axis.read(row.costs)
    if number is None:
        return Cell(NOT_DEFINED)
    return Cell(short_count(number), number, runs=names_of(row))


def ratio_cell(row: ModelRow, baseline: ModelRow, axis: CostAxis) -> Cell:
    """Make the cell of a cost relative to the baseline's, in percent."""
    if row.costs is None or baseline.costs is None:
        return Cell(MISSING)
    own, base = axis.read(row.costs), axis.read(baseline.costs)
    if own is None or base is None:
        return Cell(NOT_DEFINED)
    ratio = own / base
    text, short = f"{100 * ratio:.1f}%", f"{100 * ratio:.0f}%"
    return Cell(text, ratio, runs=names_of(row, baseline), short=short)


def names_of(*rows: ModelRow | CandidateRow) -> tuple[str, ...]:
    """Return the names of the runs behind rows, without duplicates."""
    runs = [
        run.member.run_name
        for row in rows
        for run in (row.finished if isinstance(row, ModelRow) else [row.run])
        if run is not None
    ]
    return tuple(dict.fromkeys(runs))


def counted_names(row: ModelRow) -> tuple[str, ...]:
    """Return the names of the runs behind a model's means."""
    return tuple(run.member.run_name for run in row.counted)


def mean_cell(row: ModelRow, quantity: MeasuredQuantity) -> Cell:
    """Make the cell of a measured quantity over the counted seeds of a model."""
    return _statistics_cell(row.statistics(quantity), counted_names(row), quantity.decimals)


def selected_cell(row: ModelRow, quantity: MeasuredQuantity) -> Cell:
    """Make the cell of a selected model's quantity over all seeds, the selection seed included."""
    if row.selection_seed is None:
        return Cell(MISSING)
    return _statistics_cell(row.statistics_of_all(quantity), names_of(row), quantity.decimals)


def _statistics_cell(statistics: Statistics, runs: tuple[str, ...], decimals: int) -> Cell:
    return Cell(
        text=statistics.text(decimals),
        value=statistics.mean,
        std=statistics.std,
        values=statistics.values,
        runs=runs,
        short=statistics.short_text(decimals),
    )


def quality_cell(row: ModelRow, baseline: ModelRow, quality: Quality, split: ScoredSplit) -> Cell:
    """Make the cell that compares a model's quality metric on a split with the baseline's.

    Both means are over the seeds that both models have; the cell gives their number where a model
    has others too, and marks missing seeds.
    """
    quantity, pairs = quality.of(split), paired(row, baseline)
    if not pairs.n:
        return Cell(MISSING)
    ours, theirs = pairs.means(quantity)
    if quality.metric.is_compared_by_ratio:
        value = ours / theirs
        text = f"{value:.3f}{TIMES}"
    else:
        value = ours - theirs
        text = f"{value:+.{quantity.decimals}f}"
    if math.isnan(value):  # both are infinite
        return Cell(MISSING)
    n = "" if pairs.is_all else f" (n={pairs.n})"
    # Narrow tables have the model's own number of seeds in the same line.
    short = text if pairs.n == len(row.counted) else f"{text}{n}"
    return Cell(f"{text}{n}{_gap(row, baseline, quantity)}", value, runs=pairs.names, short=short)


def _gap(row: ModelRow, baseline: ModelRow, quantity: MeasuredQuantity) -> str:
    """Return the mark of missing seeds in a comparison."""
    ours, theirs = row.statistics(quantity), baseline.statistics(quantity)
    return ours.gap or (
        theirs.gap and f" [{baseline.name} {theirs.n} of {theirs.n_expected} seeds]"
    )
