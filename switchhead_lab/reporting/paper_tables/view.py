"""A report on a table of the paper: its grid, what to print of it, and its captions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.report_data import ReportData

NOT_RUN = "not run"
"""Cell text of what nobody has trained or measured."""
NOT_RUN_CELL = Cell(NOT_RUN)


@dataclass(frozen=True)
class View:
    """Some columns of a table, printed as one table.

    Attributes:
        name: Name of its files, without suffix.
        heading: Heading.
        keys: Its columns, after the first.
    """

    name: str
    heading: str
    keys: tuple[str, ...]

    def of(self, grid: Grid) -> Grid:
        """Return the table with only these columns in print, empty ones included."""
        first, *others = grid.columns
        kept = [c if c.key in self.keys else replace(c, heading="") for c in others]
        return replace(grid, columns=(first, *kept))


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper beside ours.

    Attributes:
        number: Number of the table.
        size: Size of the sweeps; empty if there is none.
        title: Heading.
        caption: Sentences below it; gaps and warnings first.
        grid: All columns.
        views: What is printed, the main table first.
        terminal: Columns printed on a terminal.
        incomplete: What is missing, one sentence each.
        latex_line: What is missing, in one sentence for the caption in print; may be empty.
        sweeps: Data of the sweeps that it comes from.
        sources: Other files that it comes from, each with its hash.
        draw: Draws its figures: their files by name.
        terminal_note: What the columns on a terminal do not say; may be empty.
    """

    number: int
    size: str
    title: str
    caption: Sequence[str]
    grid: Grid
    views: tuple[View, ...]
    terminal: tuple[str, ...]
    incomplete: tuple[str, ...]
    latex_line: str = ""
    sweeps: Sequence[ReportData] = ()
    sources: Sequence[Mapping[str, str]] = ()
    draw: Callable[[], Mapping[str, bytes]] = dict
    terminal_note: str = ""

    @property
    def name(self) -> str:
        """Name of its folder: "table2-pocket"."""
        return "-".join(filter(None, (f"table{self.number}", self.size)))


def column_of(grid: Grid, key: str) -> Column:
    """Return the column of a table with a key."""
    return next(column for column in grid.columns if column.key == key)
