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
NARROW = 80
"""Columns that listings fit, on terminals and in pipes."""
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
    text = _laid_out(table, None)
    too_wide = max(map(len, text.splitlines())) - NARROW
    longest = max((len(row[0]) for row in table.rows), default=0)
    if too_wide > 0 and longest - too_wide >= _SHORTEST_NAME:
        text = _laid_out(table, longest - too_wide)
    sys.stdout.write(f"{table.title}\n\n{text}\n\n")


def _laid_out(table: Table, width_of_names: int | None) -> str:
    """Return a table as text; cells stay as they are, even if they look like numbers."""
    from tabulate import tabulate

    n_numbers = len(table.columns) - table.n_text_columns
    text = tabulate(
        # Headings as a row: as headings they would be padded.
        [list(table.columns), *table.rows],
        tablefmt="plain",
        disable_numparse=True,
        colalign=[*["left"] * table.n_text_columns, *["right"] * n_numbers],
        maxcolwidths=[width_of_names, *[None] * (len(table.columns) - 1)],
    )
    lines = text.splitlines()
    n_heading_lines = max(column.count("\n") for column in table.columns) + 1
    rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * max(map(len, lines))
    return "\n".join([*lines[:n_heading_lines], rule, *lines[n_heading_lines:]])
