"""Output of `lab report`: the tables of a report, narrow enough for a terminal."""

from collections.abc import Iterator, Sequence

from switchhead_lab.budget.counter import CONVENTIONS
from switchhead_lab.reporting.grids import Grid
from switchhead_lab.reporting.quality import Quality
from switchhead_lab.reporting.report import Report
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.terminal import Table
from switchhead_lab.views.shared_columns import share_columns

Layout = tuple[tuple[str, tuple[str, ...]], ...]
"""Headings, each with the columns that it shows, the second in brackets."""


def _table_layout(quality: Quality) -> Layout:
    return (
        ("model", ("model",)),
        ("H", ("n_heads",)),
        ("E", ("n_experts",)),
        ("k", ("top_k",)),
        ("d_head", ("d_head",)),
        ("params", ("n_parameters",)),
        ("n", ("n_seeds",)),
        (f"val {quality.short_heading}", (quality.validation.key,)),
        ("/ dense" if quality.metric.is_compared_by_ratio else "vs dense", (quality.relative_key,)),
        (f"test {quality.short_heading}", (quality.test.key,)),
        ("attention MACs", ("macs", "relative_macs")),
        ("model MACs", ("relative_model_macs",)),
        ("memory", ("memory_floats", "relative_memory_floats")),
        ("ms/step", ("interleaved_ms_per_step", "relative_interleaved_ms_per_step")),
    )


def _paper_layout(quality: Quality) -> Layout:
    return (
        ("model", ("model",)),
        ("paper's model", ("paper_model",)),
        ("result: paper", ("paper_loss", "paper_relative_loss")),
        ("ours", (quality.validation.key, quality.relative_key)),
        ("MACs: paper", ("paper_macs", "paper_relative_macs")),
        ("ours", ("macs", "relative_macs")),
        ("memory: paper", ("paper_memory_floats", "paper_relative_memory_floats")),
        ("ours", ("memory_floats", "relative_memory_floats")),
    )


def model_table(report: Report) -> Table:
    """Return the main table; columns equal in all rows go to the title."""
    table = _table(report.title, report.table, _table_layout(report.quality), 1)
    return share_columns(table)


def cost_table(grid: Grid) -> Table:
    """Return the costs relative to the baseline by every convention."""
    layout: Layout = (
        ("model", ("model",)),
        *(
            (f"{heading}\n{convention}", (f"relative_{key}_{convention}",))
            for heading, key in (("attention", "attention_macs"), ("model", "model_macs"))
            for convention in CONVENTIONS
        ),
        ("active\nparams", ("relative_active_parameters",)),
    )
    title = "MACs of attention and whole model relative to the dense baseline, by every convention"
    return _table(title, grid, layout, 1)


def paper_table(grid: Grid, quality: Quality) -> Table:
    """Return the paper's figures beside ours."""
    return _table("The paper's values beside ours", grid, _paper_layout(quality), 2)


def file_lines(report: Report) -> Iterator[str]:
    """Yield the folder and files of the report."""
    yield f"\nwritten to {report.folder}:"
    for name in report.files:
        yield f"  {name}"


def _table(title: str, grid: Grid, layout: Layout, n_text_columns: int) -> Table:
    rows = []
    for row in grid.rows:
        cells = [[grid.cell(row, key) for key in keys] for _, keys in layout]
        rows.append([_joined([cell.short or cell.text for cell in group]) for group in cells])
    return Table(title, [heading for heading, _ in layout], rows, n_text_columns)


def _joined(texts: Sequence[str]) -> str:
    first, *second = texts
    return first if not second or second[0] == MISSING else f"{first} ({second[0]})"
