"""Output of `lab report`: the tables of a report, narrow enough for a terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from switchhead_lab.config.cost_names import CONVENTIONS
from switchhead_lab.reporting.grids import Grid
from switchhead_lab.reporting.ladder_report import LadderReport
from switchhead_lab.reporting.paper_tables.view import column_of
from switchhead_lab.reporting.quality import Quality
from switchhead_lab.reporting.report import Report
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.terminal import beside_path
from switchhead_lab.terminal_table import Table
from switchhead_lab.views.shared_columns import share_columns

Layout = tuple[tuple[str, str], ...]
"""Headings, each with the name of its column."""


def _table_layout(quality: Quality) -> Layout:
    against = "/ dense" if quality.metric.is_compared_by_ratio else "vs dense"
    return (
        ("model", "model"),
        *(("H", "n_heads"), ("E", "n_experts"), ("k", "top_k"), ("d_head", "d_head")),
        ("n", "n_seeds"),
        (f"val {quality.short_heading}", quality.validation.key),
        (against, quality.relative_key),
        (f"test {quality.short_heading}", quality.test.key),
    )


def model_table(report: Report) -> Table:
    """Return the main table; columns equal in all rows go to the title."""
    table = _table(report.title, report.table, _table_layout(report.quality))
    return share_columns(table)


def cost_table(report: Report) -> Table:
    """Return parameters, and costs relative to the baseline, MACs by every convention."""
    order = "/".join(CONVENTIONS)
    title = f"Relative to the dense baseline; MACs by {order}"
    rows = []
    for row, costs in zip(report.table.rows, report.costs.rows, strict=True):
        own = [report.table.cell(row, key).narrow for key in ("model", "n_parameters")]
        macs = [
            "/".join(
                report.costs.cell(costs, f"relative_{key}_{convention}").narrow.removesuffix("%")
                for convention in CONVENTIONS
            )
            for key in ("attention_macs", "model_macs")
        ]
        others = [
            report.costs.cell(costs, "relative_active_parameters").narrow,
            report.table.cell(row, "relative_memory_floats").narrow,
            report.table.cell(row, "relative_interleaved_ms_per_step").narrow,
        ]
        rows.append([*own, others[0], *macs, *others[1:]])
    headings = (
        *("model", "params", "active", "attention\nMACs %", "model\nMACs %"),
        *("attention\nmemory", "ms/step"),
    )
    table = Table(title, headings, rows)
    if all(row[-1] == MISSING for row in rows):
        table = replace(table, columns=headings[:-1], rows=[row[:-1] for row in rows])
    return share_columns(table)


def paper_table(grid: Grid, quality: Quality) -> Table:
    """Return the paper's ratios to its dense baseline beside ours, with the metric of each."""
    results = ("paper_relative_loss", quality.relative_key)
    layout: Layout = (
        ("model", "model"),
        *((column_of(grid, key).short, key) for key in results),
        ("MACs,\npaper", "paper_relative_macs"),
        ("MACs,\nours", "relative_macs"),
        ("memory,\npaper", "paper_relative_memory_floats"),
        ("memory,\nours", "relative_memory_floats"),
    )
    return _table("The paper's ratios to dense beside ours", grid, layout)


def claim_tables(grid: Grid) -> Iterator[Table]:
    """Yield a table for each claim: its parts, with the verdict in the title."""
    layout: Layout = (
        ("part", "part"),
        ("claimed", "statement"),
        ("estimate", "estimate"),
        ("interval", "interval"),
        ("n", "n"),
        ("verdict", "part_verdict"),
    )
    claims = list(dict.fromkeys(grid.cell(row, "claim").value for row in grid.rows))
    for claim in claims:
        rows = tuple(row for row in grid.rows if grid.cell(row, "claim").value == claim)
        verdict = grid.cell(rows[0], "verdict").value
        table = _table(f"Claim {claim}: {verdict}", replace(grid, rows=rows), layout)
        yield replace(table, n_text_columns=2)


def ladder_tables(report: LadderReport) -> Iterator[Table]:
    """Yield the table of every model at every size, then that of the power laws."""
    loss = next(column.key for column in report.table.columns if column.is_mean)
    sizes: Layout = (
        ("model", "model"),
        ("size", "size"),
        ("params", "n_parameters"),
        ("training\nMACs", "training_macs"),
        ("val loss", loss),
        ("compute\nmultiplier", "compute_multiplier"),
    )
    yield replace(_table(report.title, report.table, sizes), n_text_columns=2)
    laws: Layout = (("model", "model"), ("sizes", "n_sizes"), ("exponent", "exponent"))
    yield _table("Power laws of the loss", report.laws, laws)


def verdict_table(reports: Sequence[Report]) -> Table | None:
    """Return the verdict on every claim of several sweeps; None without claims."""
    rows = []
    for report in reports:
        grid = report.claims
        for row in () if grid is None else grid.rows:
            if grid is not None and grid.cell(row, "claim").text:  # the first of its parts
                claim, verdict, n = (grid.cell(row, key) for key in ("claim", "verdict", "n"))
                rows.append([claim.text, report.folder.name, n.text, verdict.text])
    return Table("Claims", ("claim", "sweep", "n", "verdict"), rows, 2) if rows else None


def sweep_lines(reports: Sequence[Report | LadderReport]) -> Iterator[str]:
    """Yield one line for each sweep: its folder, and what is missing."""
    for report in reports:
        n = len(report.incomplete)
        gaps = f", INCOMPLETE: {n} {'gap' if n == 1 else 'gaps'}" if n else ""
        rows = "models" if isinstance(report, Report) else "models and sizes"
        yield f"{report.folder.name}: {len(report.table.rows)} {rows}{gaps}"


def file_lines(folder: Path, files: Sequence[str]) -> Iterator[str]:
    """Yield the folder and the files of a report."""
    yield f"\n{beside_path('written to', folder, ':')}"
    for name in files:
        yield f"  {name}"


def _table(title: str, grid: Grid, layout: Layout) -> Table:
    rows = [[grid.cell(row, key).narrow for _, key in layout] for row in grid.rows]
    return Table(title, [heading for heading, _ in layout], rows)
