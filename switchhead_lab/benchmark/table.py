"""Tables of benches: headings with rows of cells, and their Markdown."""

from collections.abc import Iterable, Sequence

Table = tuple[list[str], list[list[str]]]
"""Headings and rows."""


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
