"""The terminal: streams that always take text, and tables and progress without markup."""

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def prepare_streams() -> None:
    """Make stdout and stderr take any text: what cannot be encoded is escaped, never an error.

    A stream that was closed before the process began is replaced by the null device, which also
    keeps its descriptor from becoming that of some other file.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def tell(text: str) -> None:
    """Write a line to stderr; if nobody reads it any more, the work goes on without it."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def plain_console(*, stderr: bool = False, width: int | None = None) -> "Console":
    """Return a console that prints text as it is: names in brackets are no markup.

    Args:
        stderr: Print to stderr instead of stdout.
        width: Columns; those of the terminal if left out.
    """
    from rich.console import Console

    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
