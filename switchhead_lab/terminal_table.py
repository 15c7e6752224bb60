"""Tables that fit 80 columns, or the terminal if it is wider."""

import itertools
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from switchhead_lab.terminal import NARROW

_GAP = 2  # spaces between columns
_READABLE = 40  # columns are omitted before names get shorter lines than this
_SHORTEST = 16
_INDENT = "  "  # of the rows below group titles


@dataclass(frozen=True)
class Table:
    """A table of strings.

    Attributes:
        title: Line above the table.
        columns: Column headings.
        rows: Cells, one per column.
        n_text_columns: Number of leading, left-aligned columns; the others are right-aligned.
        optional: Headings of the columns to omit from a table that is too wide, in this order.
        group_titles: Lines above rows, by the number of the row.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_text_columns: int = 1
    optional: Sequence[str] = ()
    group_titles: Mapping[int, str] = field(default_factory=dict)


def print_table(table: Table, *, is_wide: bool = False, is_narrow: bool = False) -> None:
    """Print a table so that it fits 80 columns, or the terminal if it is wider.

    Optional columns are omitted, texts wrapped, and then columns printed below the others, beside
    the text columns again. Numbers are never cut.

    Args:
        table: The table.
        is_wide: Print every column, at full width.
        is_narrow: Fit 80 columns on wider terminals too, the title as well, which may hold no path.
    """
    title = _wrapped_title(table.title) if is_narrow else table.title
    sys.stdout.write(f"{title}\n\n")
    if is_wide:
        sys.stdout.write(f"{_laid_out(table, _widths(table))}\n\n")
        return
    width = NARROW
    if sys.stdout.isatty() and not is_narrow:
        width = max(width, shutil.get_terminal_size().columns)
    width -= len(_INDENT) if table.group_titles else 0
    shown, omitted = _without_optional(table, width)
    for block in _blocks(shown, width):
        sys.stdout.write(f"{_laid_out(block, _shrunk(block, width, _SHORTEST))}\n\n")
    if omitted:
        text = f"not shown: {', '.join(omitted)}; --wide prints all columns"
        sys.stdout.write(f"{textwrap.fill(text, NARROW)}\n")


def _wrapped_title(title: str) -> str:
    lines = (textwrap.fill(line, NARROW, break_on_hyphens=False) for line in title.splitlines())
    return "\n".join(lines)


def _without_optional(table: Table, width: int) -> tuple[Table, list[str]]:
    """Return the table without the optional columns that do not fit, and their headings."""
    omitted: list[str] = []
    for name in table.optional:
        if _total(_shrunk(table, width, _READABLE)) <= width:
            break
        headings = [_one_line(heading) for heading in table.columns]
        if name in headings:
            omitted.append(name)
            table = _chosen(table, [n for n, heading in enumerate(headings) if heading != name])
    return table, omitted


def _blocks(table: Table, width: int) -> Iterator[Table]:
    """Yield the table in parts that fit, each with its text columns."""
    if _total(_shrunk(table, width, _SHORTEST)) <= width:
        yield table
        return
    texts, block = list(range(table.n_text_columns)), list[int]()
    for number in range(table.n_text_columns, len(table.columns)):
        wider = _chosen(table, [*texts, *block, number])
        if block and _total(_shrunk(wider, width, _READABLE)) > width:
            yield _chosen(table, [*texts, *block])
            block = []
        block.append(number)
    yield _chosen(table, [*texts, *block])


def _chosen(table: Table, numbers: Sequence[int]) -> Table:
    """Return the table with these columns only."""
    return replace(
        table,
        columns=[table.columns[n] for n in numbers],
        rows=[[row[n] for n in numbers] for row in table.rows],
        n_text_columns=sum(n < table.n_text_columns for n in numbers),
    )


def _shrunk(table: Table, width: int, shortest: int) -> list[int]:
    """Return widths of columns with text columns shrunk until the table fits, widest first."""
    widths = _widths(table)
    for _ in range(_total(widths) - width):
        widest = max(range(table.n_text_columns), key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= shortest:
            break
        widths[widest] -= 1
    return widths


def _widths(table: Table) -> list[int]:
    cells = zip(table.columns, *table.rows, strict=True)
    return [max(len(line) for cell in column for line in cell.split("\n")) for column in cells]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _one_line(heading: str) -> str:
    return heading.replace("\n", " ")


def _laid_out(table: Table, widths: Sequence[int]) -> str:
    """Return a table as text; cells stay as they are, even if they look like numbers."""
    from tabulate import tabulate

    # Headings as a row: as headings they would be padded.
    rows = [
        [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        for row in (table.columns, *table.rows)
    ]
    n_numbers = len(table.columns) - table.n_text_columns
    text = tabulate(
        rows,
        tablefmt="plain",
        disable_numparse=True,
        colalign=[*["left"] * table.n_text_columns, *["right"] * n_numbers],
    )
    lines = iter(text.splitlines())
    rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * max(map(len, text.splitlines()))
    indent = _INDENT if table.group_titles else ""
    printed = []
    for number, row in enumerate(rows, start=-1):  # the headings are row -1
        if title := table.group_titles.get(number):
            printed += textwrap.wrap(title, NARROW, subsequent_indent=_INDENT)
        height = max(cell.count("\n") for cell in row) + 1
        printed += [f"{indent}{line}" for line in itertools.islice(lines, height)]
        if number == -1:
            printed.append(f"{indent}{rule}")
    return "\n".join(printed)


def _wrapped(cell: str, width: int) -> str:
    parts = [
        [line] if len(line) <= width else textwrap.wrap(line, width) for line in cell.split("\n")
    ]
    return "\n".join(line for part in parts for line in part)
