"""Sections with the paper's tables beside ours."""

from collections.abc import Collection

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError
from switchhead_lab.reporting.caption import LOUD
from switchhead_lab.reporting.html.runs import Links
from switchhead_lab.reporting.html.section import Badge, Section
from switchhead_lab.reporting.html.tables import html_table, plain_columns
from switchhead_lab.reporting.paper_tables.paper_report import read_paper_table
from switchhead_lab.reporting.paper_tables.view import PaperTable


def paper_sections(workspace: Workspace, numbers: Collection[int], runs: Links) -> list[Section]:
    """Return a section for each table of the paper, at the size that was run last.

    Args:
        workspace: The workspace.
        numbers: Numbers of the tables.
        runs: Runs that cells link to.
    """
    return [_section(workspace, number, runs) for number in sorted(numbers)]


def _section(workspace: Workspace, number: int, runs: Links) -> Section:
    folders = (workspace.sweeps_dir, workspace.runs_dir, workspace.reports_dir)
    try:
        table = read_paper_table(number, *folders)
    except LabError as error:
        reason = {"reason": runs.portable(str(error))}
        return Section(f"paper-table-{number}", f"Table {number}", "broken.html.j2", reason)
    return _section_of(table, runs)


def _section_of(table: PaperTable, runs: Links) -> Section:
    """Return a table's section; its many gaps are one notice, and listed below the tables."""
    caption = [runs.portable(line) for line in table.caption]
    loud = [line for line in caption if line.startswith(LOUD)]
    gaps = [line for line in loud if line.startswith(LOUD[0])]
    warnings = [line for line in loud if line not in gaps]
    notice = f"{LOUD[0]}: rows or runs are missing; each is listed below the tables."
    views = [(view.heading, plain_columns(view.of(table.grid))) for view in table.views]
    return Section(
        id=f"paper-table-{table.number}",
        title=f"Table {table.number} of the paper",
        template="tables.html.j2",
        values={
            "lead": f"{table.title}.",
            "gaps": [notice] if gaps else [],
            "warnings": warnings,
            "tables": [(heading, html_table(heading, columns, runs)) for heading, columns in views],
            "facts": [line for line in caption if line not in warnings],
        },
        note=f"size {table.size}" if table.size else "",
        badges=(Badge("gap", "rows or runs missing"),) if gaps else (),
    )
