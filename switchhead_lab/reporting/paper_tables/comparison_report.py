"""The report on a table of perplexities and costs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from switchhead_lab.reporting.grids import Cell, Grid
from switchhead_lab.reporting.paper_tables.assembly import Assembly, assemble
from switchhead_lab.reporting.paper_tables.captions import caption_lines, latex_line, missing_lines
from switchhead_lab.reporting.paper_tables.comparison import (
    comparison_grid,
    comparison_views,
    loss_heading,
    metric_line,
    terminal_keys,
)
from switchhead_lab.reporting.paper_tables.declarations import read_declarations
from switchhead_lab.reporting.paper_tables.printed import printed_table
from switchhead_lab.reporting.paper_tables.view import PaperTable
from switchhead_lab.reporting.report_data import ReportData

if TYPE_CHECKING:
    from switchhead_lab.reporting.figures.ratios import Ratio

FIGURE = "ratios"


def read_comparison(
    number: int,
    sweeps_dir: Path,
    runs_dir: Path,
    size: str = "",
    known: Mapping[str, ReportData] | None = None,
) -> PaperTable:
    """Assemble a table of perplexities or bits per character with its costs.

    Args:
        number: Number of the table.
        sweeps_dir: Folder of sweep files.
        runs_dir: Folder of all runs.
        size: Size of the sweeps; by default the latest that was run.
        known: Sweeps whose runs were read before, by id.

    Raises:
        ConfigError: If no sweep of the table has the size.
    """
    declarations = read_declarations(sweeps_dir, number)
    assembly = assemble(printed_table(number), declarations, runs_dir, size, known)
    grid = comparison_grid(assembly)
    at_size = f", size {assembly.size}" if assembly.size else ""
    title = f"Table {number} of the paper beside ours{at_size}"
    return PaperTable(
        number=number,
        size=assembly.size,
        title=title,
        caption=caption_lines(assembly),
        grid=grid,
        views=comparison_views(assembly),
        terminal=terminal_keys(assembly),
        incomplete=tuple(missing_lines(assembly)),
        latex_line=latex_line(assembly),
        sweeps=[source.data for source in assembly.sources],
        draw=partial(_figures, assembly, grid, title),
        terminal_note=metric_line(assembly),
    )


def _figures(assembly: Assembly, grid: Grid, title: str) -> dict[str, bytes]:
    # matplotlib is imported late: the page over all sweeps does without it.
    from switchhead_lab.reporting.figures.ratios import RatioRow, draw_ratios

    headings = {
        "loss": f"{loss_heading(assembly)}\n/ dense",
        "macs": "attention MACs\n/ dense",
        "memory_floats": "attention memory\n/ dense",
    }
    keys = [key for key in headings if any(column.key == key for column in grid.columns)]
    rows = [
        RatioRow(
            label=filled.printed.label,
            group=filled.printed.block.label,
            ratios=tuple(_ratio(grid, cells, key) for key in keys),
        )
        for filled, cells in zip(assembly.rows, grid.rows, strict=True)
    ]
    return draw_ratios(rows, [headings[key] for key in keys], title).files(FIGURE)


def _ratio(grid: Grid, cells: tuple[Cell, ...], key: str) -> "Ratio":
    from switchhead_lab.reporting.figures.ratios import Ratio

    paper, ours = (
        grid.cell(cells, f"{prefix}{key}") for prefix in ("paper_relative_", "relative_")
    )
    mean = grid.cell(cells, key)
    ratio = _number(ours)
    std = None
    if ratio is not None and mean.std is not None and isinstance(mean.value, float):
        std = mean.std * ratio / mean.value  # of this model's mean; the baseline's is its own row's
    return Ratio(_number(paper), ratio, std)


def _number(cell: Cell) -> float | None:
    return float(cell.value) if isinstance(cell.value, int | float) else None
