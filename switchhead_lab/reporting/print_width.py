"""Widths of tables in print, and the columns that fit on a page."""

import re
from collections.abc import Sequence

from switchhead_lab.reporting.grids import Column, Grid
from switchhead_lab.reporting.statistics import MISSING

TEXT_WIDTH_PT = 345.0
"""Width of the text of LaTeX's article class at 10 pt, in points."""
COLUMN_GAP_PT = 8.0
"""Space beside a column of a table: twice \\tabcolsep."""
# Widths in Computer Modern at 9 pt (\small), by character, rounded up; others are digits' or wider.
_NARROW, _DIGIT, _WIDE = 3.0, 4.7, 7.6
_WIDTHS = {
    **dict.fromkeys(".,:;'!|iljI[]()/ -", _NARROW),
    **dict.fromkeys(f"mwMW%{MISSING}", _WIDE),
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ", 6.9),
    "±": 12.2,
    "\N{MULTIPLICATION SIGN}": 7.2,
}


def text_width(text: str) -> float:
    """Return an upper estimate of the width of a line in a table, in points."""
    return sum(_WIDTHS.get(character, _DIGIT + 0.2) for character in text)


def heading_lines(column: Column) -> list[str]:
    """Return the lines of a column's heading in print."""
    return (column.short or column.heading).split("\n")


def width_in_print(grid: Grid) -> float:
    """Return an upper estimate of the width of a table in print, in points."""
    return sum(_column_width(grid, number) for number in grid.printed)


def fit_page(grid: Grid, keys: Sequence[str]) -> Grid:
    """Return a table with the columns in print that fit on a page; the CSV file keeps all.

    Args:
        grid: The table.
        keys: Columns, the most important first; the first column stays.
    """
    fitting: list[str] = []
    for key in keys:
        if width_in_print(grid.printing([*fitting, key])) <= TEXT_WIDTH_PT:
            fitting.append(key)
    return grid.printing(fitting)


def _column_width(grid: Grid, number: int) -> float:
    cells = [re.sub(r" +", " ", row[number].narrow) for row in grid.rows]
    texts = [*heading_lines(grid.columns[number]), *cells]
    return max(map(text_width, texts)) + COLUMN_GAP_PT
