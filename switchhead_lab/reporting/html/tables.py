"""Tables of the page: printed cells with the values they are sorted by and their runs."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from switchhead_lab.reporting.grids import NOT_DEFINED, Cell, Column, Grid
from switchhead_lab.reporting.html.runs import Links, Reference
from switchhead_lab.reporting.statistics import MISSING


@dataclass(frozen=True)
class Heading:
    """The heading of a column.

    Attributes:
        text: Its name.
        note: Second line, such as the convention of a cost.
        classes: Classes of the column's cells, separated by spaces.
        is_text: Whether the column holds words, left-aligned.
    """

    text: str
    note: str = ""
    classes: str = ""
    is_text: bool = False


@dataclass(frozen=True)
class HtmlCell:
    """One cell.

    Attributes:
        text: Printed text.
        value: What rows are sorted by, numbers at full precision; empty if missing, or if words
            are sorted by their text.
        reference: Link to its runs; None without one.
        classes: Its classes, separated by spaces.
    """

    text: str
    value: str
    reference: Reference | None
    classes: str


@dataclass(frozen=True)
class HtmlTable:
    """A table; the first column names the row.

    Attributes:
        label: What it shows, for screen readers.
        headings: Its columns.
        rows: Cells, one per column.
    """

    label: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[HtmlCell, ...], ...]


@dataclass(frozen=True)
class ColumnOf:
    """A column of the page: its heading, and where its cells are.

    Attributes:
        heading: The heading.
        grid: The table that has the cells; rows of all of them agree.
        key: The column's key in it.
        is_narrow: Whether cells are printed as in narrow tables, without the number of seeds.
    """

    heading: Heading
    grid: Grid
    key: str
    is_narrow: bool = False


def plain_columns(grid: Grid) -> list[ColumnOf]:
    """Return the printed columns of a table."""
    return [ColumnOf(heading_of(column), grid, column.key) for column in grid.printed_columns()]


def heading_of(column: Column) -> Heading:
    """Return the heading of a column."""
    return Heading(column.heading, is_text=column.is_text)


def html_table(
    label: str,
    columns: Sequence[ColumnOf],
    runs: Links,
    gaps: Collection[int] = (),
    measured: Collection[str] = (),
) -> HtmlTable:
    """Return a table of the page.

    Args:
        label: What it shows.
        columns: Its columns.
        runs: Runs that cells link to.
        gaps: Rows with missing runs.
        measured: Keys of columns in which those rows are marked.
    """
    places = [[column.key for column in one.grid.columns].index(one.key) for one in columns]
    rows = tuple(
        tuple(
            _cell(
                one.grid.rows[number][place],
                runs,
                number in gaps and one.key in measured,
                one,
            )
            for one, place in zip(columns, places, strict=True)
        )
        for number in range(len(columns[0].grid.rows))
    )
    return HtmlTable(label, tuple(one.heading for one in columns), rows)


def _cell(cell: Cell, runs: Links, is_gap: bool, column: ColumnOf) -> HtmlCell:
    text, heading = cell.narrow if column.is_narrow else cell.text, column.heading
    classes = [*(["t"] if heading.is_text else []), *([heading.classes] if heading.classes else [])]
    if is_gap or text.endswith(" seeds]"):
        classes.append("gap")
    elif text in (MISSING, NOT_DEFINED):
        classes.append("mute")
    value = sort_value(cell.value)
    return HtmlCell(
        text=runs.portable(text),
        value="" if heading.is_text and value == cell.text else value,
        reference=runs.reference(cell.runs),
        classes=" ".join(classes),
    )


def sort_value(value: float | int | str | None) -> str:
    """Return what a cell is sorted by, as JavaScript reads it; empty if missing."""
    if value is None or value == "":
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return "" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return str(int(value)) if isinstance(value, bool) else str(value)
