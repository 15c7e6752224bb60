"""Moves columns equal in all rows from a table into its title."""

import textwrap
from dataclasses import replace

from switchhead_lab.terminal_table import Table

_WIDTH = 80


def share_columns(table: Table, n_kept: int = 1) -> Table:
    """Return the table with columns equal in all rows moved into its title, if it has several rows.

    Args:
        table: The table.
        n_kept: Leading columns that always stay.
    """
    if len(table.rows) < 2:
        return table
    shared = [
        number
        for number in range(n_kept, len(table.columns))
        if len({row[number] for row in table.rows}) == 1
    ]
    if not shared:
        return table
    headings = [heading.replace("\n", " ") for heading in table.columns]
    texts = [f"{headings[number]} {table.rows[0][number]}" for number in shared]
    same = textwrap.fill(f"the same for all: {', '.join(texts)}", _WIDTH)
    kept = [number for number in range(len(table.columns)) if number not in shared]
    return replace(
        table,
        title=f"{table.title}\n{same}",
        columns=[table.columns[number] for number in kept],
        rows=[[row[number] for number in kept] for row in table.rows],
        n_text_columns=sum(number < table.n_text_columns for number in kept),
    )
