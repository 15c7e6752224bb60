"""Tables on the terminal."""

import sys
from collections.abc import Iterable, Sequence


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, n_text_columns: int = 1
) -> None:
    """Print a table; without a terminal its width is that of its contents.

    Args:
        title: Line above the table.
        columns: Headings.
        rows: Cells as text, one per column.
        n_text_columns: Leading columns to align left; the others hold numbers, aligned right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(
            column, justify="left" if number < n_text_columns else "right", overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not sys.stdout.isatty():
        console = Console(width=max(80, console.measure(table).maximum + 2))
    console.print(table, highlight=False)
