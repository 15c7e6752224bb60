"""The report of a sweep beside its runs in MLflow: files, page and description."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError
from switchhead_lab.reporting.contents import read_contents
from switchhead_lab.reporting.html.site import site_text
from switchhead_lab.reporting.report import Report, write_contents
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.reporting.tables import to_markdown
from switchhead_lab.tracking.mlflow_index import Index
from switchhead_lab.tracking.sweep_record import SweepRecord, sweep_id

PAGE = "page.html"
"""Name of the page among the artifacts."""


def attach_report(
    workspace: Workspace, record: SweepRecord, index: Index, warn: Callable[[str], None]
) -> None:
    """Write the report of a sweep, and copy it with its page to the sweep's parent run.

    Args:
        workspace: The workspace.
        record: The sweep record.
        index: Index of the workspace.
        warn: Called with a sentence if there can be no report; the sweep itself is done.
    """
    try:
        data = read_report_data(record, workspace.runs_dir, workspace.sweeps_dir)
        contents = read_contents(data, workspace.reports_dir)
        report = write_contents(contents, workspace.reports_dir)
        page = site_text(workspace, [Selection(record, ())], {sweep_id(record.sweep): contents})
    except LabError as error:
        warn(f"warning: MLflow has no report of this sweep: {error}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(report.folder, Path(scratch) / "report")
        (folder / PAGE).write_text(page, encoding="utf-8")
        index.attach_report(sweep_id(record.sweep), folder, description(report))


def description(report: Report) -> str:
    """Return the description of a parent run: gaps, verdicts and the main table, as Markdown."""
    parts = [f"**{report.title}**", *(f"**{line}**" for line in report.incomplete)]
    if report.claims is not None:
        parts.append(to_markdown(report.claims))
    parts += [to_markdown(report.table), f"Written by `lab sweep`; artifacts: `report/{PAGE}`."]
    return "\n\n".join(parts)
