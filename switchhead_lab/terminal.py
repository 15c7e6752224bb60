"""The terminal: streams that accept any text, lines on stderr, and a console without markup."""

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Style = Literal["plain", "bold", "red", "yellow"]
_ANSI_CODES = {"bold": 1, "red": 31, "yellow": 33}


def prepare_streams() -> None:
    """Make stdout and stderr escape what their encoding lacks instead of raising.

    A stream closed before the process began is replaced by the null device, so that no other file
    gets its descriptor.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Send what is left for stdout nowhere: it cannot be written where it should go."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def tell(text: str, style: Style = "plain") -> None:
    """Write a line to stderr; a closed pipe is ignored, so that the work goes on.

    Args:
        text: The line.
        style: How it looks on a terminal; files and pipes get plain text.
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
