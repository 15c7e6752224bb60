"""Terminal output: streams that accept any text, lines on stderr, tables, plain consoles."""

import contextlib
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Style = Literal["plain", "bold", "red", "yellow"]
_ANSI_CODES = {"bold": 1, "red": 31, "yellow": 33}
_WIDEST, _NARROW = 2000, 80
_SHORTEST_NAME = 16


@dataclass(frozen=True)
class Table:
    """A table of strings.

    Attributes:
        title: Line above the table.
        columns: Column headings.
        rows: Cells, one per column.
        n_text_columns: Number of leading, left-aligned columns; the others are right-aligned.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_text_columns: int = 1


def prepare_streams() -> None:
    """Make stdout and stderr escape characters they cannot encode instead of raising.

    A stream that was closed at start-up is replaced by the null device, so that no other file gets
    its descriptor.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Redirect stdout to the null device, after writing to it failed."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def tell(text: str, style: Style = "plain") -> None:
    """Write a line to stderr; a closed pipe is ignored, so that work continues.

    Args:
        text: The line.
        style: Style on a terminal; files and pipes get plain text.
    """
    if style != "plain" and sys.stderr.isatty():
        text = f"\x1b[{_ANSI_CODES[style]}m{text}\x1b[0m"
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def plain_console(*, stderr: bool = False, width: int | None = None) -> "Console":
    """Return a console that prints text verbatim: names in brackets are not markup.

    Args:
        stderr: Print to stderr instead of stdout.
        width: Columns; the terminal's by default.
    """
    from rich.console import Console

    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def print_list(lines: Sequence[str]) -> None:
    """Print lines as a list, wrapped to the terminal, or to 80 columns in files and pipes."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    for line in lines:
        text = textwrap.fill(line, width, initial_indent="- ", subsequent_indent="  ")
        sys.stdout.write(f"{text}\n")


def print_table(table: Table) -> None:
    """Print a table, with its first column wrapped if that makes it fit 80 columns.

    Numbers are never cut: a table with many of them is printed at its full width.
    """
    from rich import box
    from rich.table import Table as RichTable

    rich_table = RichTable(
        title=table.title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for number, column in enumerate(table.columns):
        rich_table.add_column(
            column, justify="left" if number < table.n_text_columns else "right", no_wrap=True
        )
    for row in table.rows:
        rich_table.add_row(*row)
    full_width = plain_console(width=_WIDEST).measure(rich_table).maximum
    if full_width > _NARROW:
        # Only the names of the rows may wrap; they are the first column.
        rich_table.columns[0].no_wrap, rich_table.columns[0].overflow = False, "fold"
        longest = max((len(row[0]) for row in table.rows), default=0)
        full_width = max(_NARROW, full_width - max(0, longest - _SHORTEST_NAME))
    width = max(full_width, plain_console().width) if sys.stdout.isatty() else full_width
    plain_console(width=width).print(rich_table)
