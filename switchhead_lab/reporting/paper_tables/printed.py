"""The tables of the paper as printed: rows in blocks, each with its own dense baseline."""

from collections.abc import Mapping
from dataclasses import dataclass

from switchhead_lab.config.sweep import PaperRow
from switchhead_lab.paper.figures import Row, dataset_of, load_tables
from switchhead_lab.paper.models import baseline_params
from switchhead_lab.reporting.paper_values import (
    PaperComparison,
    PaperFigures,
    figures_of,
    find_comparison,
)

ZERO_SHOT = {"lambada": "LAMBADA", "blimp": "BLiMP", "cbt": "CBT"}
"""Zero-shot tasks of Tables 4 and 8, by their keys in the paper's data file."""


@dataclass(frozen=True)
class Block:
    """Rows with a common dense baseline.

    Attributes:
        table: Number of the table.
        dataset: Data set of the paper.
        params: Printed size of the dense baseline in millions; None if not printed.
    """

    table: int
    dataset: str
    params: int | None

    @property
    def label(self) -> str:
        """Data set and size."""
        return self.dataset if self.params is None else f"{self.dataset} {self.params}M"

    def is_of(self, paper: PaperRow | None) -> bool:
        """Return whether a sweep with this `paper` table reproduces rows of the block."""
        own = (self.table, self.dataset, self.params)
        return paper is not None and (paper.table, paper.dataset, paper.params) == own


@dataclass(frozen=True)
class PrintedRow:
    """One row of a table.

    Attributes:
        block: The block that it belongs to.
        figures: Its figures.
        scores: Zero-shot accuracies in percent, by task.
    """

    block: Block
    figures: PaperFigures
    scores: Mapping[str, float]

    @property
    def label(self) -> str:
        """Name of the row, unique in its table."""
        return f"{self.block.label}: {self.figures.label}"


@dataclass(frozen=True)
class PrintedTable:
    """One table with perplexities or bits per character.

    Attributes:
        number: Its number.
        caption: What it shows.
        rows: Its rows, in printed order.
    """

    number: int
    caption: str
    rows: tuple[PrintedRow, ...]

    @property
    def blocks(self) -> list[Block]:
        """Its blocks, in printed order."""
        return list(dict.fromkeys(row.block for row in self.rows))

    def dense(self, block: Block) -> PaperFigures | None:
        """Return the row of a block's dense baseline."""
        return self._comparison(block).dense

    def metrics(self) -> list[str]:
        """Return the metrics of its blocks, each once."""
        return list(dict.fromkeys(map(self.metric, self.blocks)))

    def metric(self, block: Block) -> str:
        """Return the metric of a block."""
        return self._comparison(block).metric

    def tasks(self) -> dict[str, str]:
        """Return the zero-shot tasks that it prints: names by key."""
        return {k: name for k, name in ZERO_SHOT.items() if any(k in r.scores for r in self.rows)}

    def _comparison(self, block: Block) -> PaperComparison:
        return find_comparison(
            PaperRow(table=self.number, dataset=block.dataset, params=block.params)
        )


def printed_table(number: int) -> PrintedTable:
    """Return a table of the paper.

    Args:
        number: Its number, of a table whose rows have perplexities or bits per character.
    """
    table = next(table for table in load_tables() if table["id"] == number)
    rows = tuple(_printed_row(position, row, table) for position, row in enumerate(table["rows"]))
    return PrintedTable(number, table["caption"], rows)


def _printed_row(position: int, row: Row, table: Row) -> PrintedRow:
    block = Block(table["id"], dataset_of(row, table), baseline_params(row))
    scores = {key: float(row[key]) for key in ZERO_SHOT if key in row}
    return PrintedRow(block, figures_of(position, row), scores)
