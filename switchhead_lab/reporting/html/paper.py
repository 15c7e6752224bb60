"""Sections with the paper's tables beside ours."""

from collections.abc import Mapping, Sequence

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError
from switchhead_lab.reporting.html.captioned import captioned_tables
from switchhead_lab.reporting.html.runs import Links
from switchhead_lab.reporting.html.section import Section
from switchhead_lab.reporting.paper_tables.paper_report import read_paper_table
from switchhead_lab.reporting.paper_tables.view import PaperTable
from switchhead_lab.reporting.report_data import ReportData
from switchhead_lab.tracking.sweep_record import sweep_id


def paper_sections(
    workspace: Workspace, sweeps: Sequence[ReportData], runs: Links
) -> list[Section]:
    """Return a section for each table that sweeps reproduce, at the size that was run last.

    Args:
        workspace: The workspace.
        sweeps: Data of all recorded sweeps.
        runs: Runs that cells link to.
    """
    known = {sweep_id(data.record.sweep): data for data in sweeps}
    papers = (data.record.sweep.paper for data in sweeps)
    numbers = sorted({paper.table for paper in papers if paper is not None})
    return [_section(workspace, number, known, runs) for number in numbers]


def _section(
    workspace: Workspace, number: int, known: Mapping[str, ReportData], runs: Links
) -> Section:
    folders = (workspace.sweeps_dir, workspace.runs_dir, workspace.reports_dir)
    try:
        table = read_paper_table(number, *folders, known=known)
    except LabError as error:
        reason = {"reason": runs.portable(str(error))}
        return Section(f"paper-table-{number}", f"Table {number}", "broken.html.j2", reason)
    return _section_of(table, runs)


def _section_of(table: PaperTable, runs: Links) -> Section:
    section = Section(
        id=f"paper-table-{table.number}",
        title=f"Table {table.number} of the paper",
        template="tables.html.j2",
        values={"lead": f"{table.title}."},
        note=f"size {table.size}" if table.size else "",
    )
    return captioned_tables(
        section,
        table.caption,
        [(view.heading, view.of(table.grid)) for view in table.views],
        runs,
        missing="rows or runs missing",
        summary="rows or runs are missing; each is listed below the tables.",
    )
