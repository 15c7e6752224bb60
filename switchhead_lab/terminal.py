"""Terminal output: streams that accept any text, lines on stderr, lists, plain consoles."""

import contextlib
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Style = Literal["plain", "bold", "red", "yellow"]
_ANSI_CODES = {"bold": 1, "red": 31, "yellow": 33}
NARROW = 80
"""Columns that listings fit, on terminals and in pipes."""
_INDENT = "  "  # of the lines after the first
_COMMAND = re.compile(r"`lab [^`]*`\S*")  # with the punctuation after it
_SHELL_WORD = re.compile(r"(?:'[^']*'|[^\s'])+")
_CONTINUED = " \\"
_SPACE = "\ue000"  # a space that lines are not broken at


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
    """Print lines as a list, wrapped to 80 columns, or to the terminal if it is narrower."""
    _print_wrapped(lines, "- ")


def print_notes(lines: Iterable[str]) -> None:
    """Print lines below a table, wrapped like a list; words such as paths stay whole."""
    _print_wrapped(lines, "")


def beside_path(text: str, path: Path, end: str = "") -> str:
    """Return text and a path, on two lines if one would be too wide; paths stay whole."""
    line = f"{text} {path}{end}"
    return line if len(line) <= NARROW else f"{text}\n{path}{end}"


def _print_wrapped(lines: Iterable[str], start: str) -> None:
    width = NARROW
    if sys.stdout.isatty():
        width = min(width, shutil.get_terminal_size().columns)
    for line in lines:
        for number, part in enumerate(_with_whole_commands(line, width).split("\n")):
            text = textwrap.fill(
                part,
                width,
                initial_indent=_INDENT if number else start,
                subsequent_indent=_INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
            sys.stdout.write(f"{text.replace(_SPACE, ' ')}\n")


def _with_whole_commands(line: str, width: int) -> str:
    """Return a line whose commands keep their spaces, so that they work when pasted.

    A command wider than a line continues after a backslash.
    """
    room = width - len(_INDENT) - len(_CONTINUED)

    def whole(match: re.Match[str]) -> str:
        rows = [""]
        for word in _SHELL_WORD.findall(match.group()):
            if rows[-1] and len(rows[-1]) + 1 + len(word) > room:
                rows.append("")
            rows[-1] = f"{rows[-1]} {word}".lstrip()
        return f"{_CONTINUED}\n".join(rows).replace(" ", _SPACE)

    return _COMMAND.sub(whole, line)
