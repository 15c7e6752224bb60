"""Tables on the terminal."""

import sys
from collections.abc import Iterable, Sequence

_WIDEST = 2000


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, n_text_columns: int = 1
) -> None:
    """Print a table as wide as its contents: a cut figure would be worse than a wrapped line.

    Args:
        title: Line above the table.
        columns: Headings.
        rows: Cells as text, one per column.
        n_text_columns: Leading columns to align left; the others hold numbers, aligned right.
    """
    from rich import box
    from rich.table import Table

    from switchhead_lab.terminal import plain_console

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(
            column, justify="left" if number < n_text_columns else "right", no_wrap=True
        )
    for row in rows:
        table.add_row(*row)
    needed = plain_console(width=_WIDEST).measure(table).maximum
    width = max(needed, plain_console().width) if sys.stdout.isatty() else needed
    plain_console(width=width).print(table)
