"""Output of `lab report tableN`: the table, narrow enough for a terminal."""

from switchhead_lab.reporting.paper_tables.view import PaperTable, column_of
from switchhead_lab.terminal_table import Table
from switchhead_lab.views.shared_columns import share_columns

# Moved to the title if equal in all rows.
_FACTS = ("n_seeds", "corpus", "size", "where")


def paper_table(table: PaperTable) -> Table:
    """Return the main columns, with facts that are equal in all rows in the title."""
    grid = table.grid
    columns = [column_of(grid, key) for key in table.terminal]
    headings = [(column.short or column.heading).replace(", ", ",\n") for column in columns]
    rows = [[grid.cell(row, key).narrow for key in table.terminal] for row in grid.rows]
    n_kept = sum(key not in _FACTS for key in table.terminal)
    title = "\n".join(filter(None, (table.title, table.terminal_note)))
    return share_columns(Table(title, headings, rows), n_kept)
