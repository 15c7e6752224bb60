"""Terminal output: streams that accept any text, lines on stderr, lists, plain consoles."""

import contextlib
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Style = Literal["plain", "bold", "red", "yellow"]
_ANSI_CODES = {"bold": 1, "red": 31, "yellow": 33}
NARROW = 80
"""Columns that listings fit, on terminals and in pipes."""


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


def print_list(lines: Iterable[str]) -> None:
    """Print lines as a list, wrapped to the terminal, or to 80 columns in files and pipes."""
    _print_wrapped(lines, "- ")


def print_notes(lines: Iterable[str]) -> None:
    """Print lines below a table, wrapped like a list; words such as paths stay whole."""
    _print_wrapped(lines, "")


def _print_wrapped(lines: Iterable[str], start: str) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else NARROW
    for line in lines:
        text = textwrap.fill(
            line,
            width,
            initial_indent=start,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        sys.stdout.write(f"{text}\n")
