"""Writes the reports of several sweeps, and the page over all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError
from switchhead_lab.reporting.contents import Contents, read_contents
from switchhead_lab.reporting.html.site import write_site
from switchhead_lab.reporting.ladder_report import LadderReport, write_ladder
from switchhead_lab.reporting.report import Report, write_contents
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.selection import Selection, recorded_sweeps
from switchhead_lab.reporting.together import write_together
from switchhead_lab.tracking.sweep_record import sweep_id


@dataclass(frozen=True)
class Reports:
    """Reports as written.

    Attributes:
        reports: One for each sweep that could be reported, or one of all together.
        ladders: One for each sweep whose sizes are compared.
        page: The page over all recorded sweeps.
        errors: Why the others could not be reported, one message each.
    """

    reports: tuple[Report, ...]
    ladders: tuple[LadderReport, ...]
    page: Path
    errors: tuple[str, ...]

    @property
    def all(self) -> "list[Report | LadderReport]":
        """The reports, those of several sizes first."""
        return [*self.ladders, *self.reports]

    @property
    def incomplete(self) -> list[str]:
        """What is missing, one sentence each."""
        return [line for one in self.all for line in one.incomplete]


def write_reports(
    selections: Sequence[Selection],
    workspace: Workspace,
    axes: Sequence[str],
    columns: str,
    *,
    ladders: Mapping[str, Sequence[str]] | None = None,
    together: bool = False,
) -> Reports:
    """Write the reports of sweeps and the page; a sweep that cannot be reported costs no other.

    Args:
        selections: The sweep records.
        workspace: The workspace.
        axes: Costs to draw, one figure each; see `find_figure_axes`.
        columns: Columns to print in the main tables; see `chosen_keys`.
        ladders: Sizes to compare, by the sweep's name.
        together: Write one report of all sweeps side by side.

    Raises:
        LabError: If no sweep can be reported: the reason of the first.
        WorkspaceError: If a folder cannot be written.
    """
    reports: list[Report] = []
    known: dict[str, Contents] = {}
    errors: list[tuple[str, LabError]] = []
    if together:
        folders = (workspace.runs_dir, workspace.reports_dir)
        sweeps_dir = workspace.sweeps_dir
        reports = [write_together(selections, *folders, axes, columns, sweeps_dir=sweeps_dir)]
        selections = ()
    for selection in selections:
        name = sweep_id(selection.record.sweep)
        try:
            data = read_report_data(selection.record, workspace.runs_dir, workspace.sweeps_dir)
            contents = read_contents(data, workspace.reports_dir, selection.notes, axes, columns)
        except LabError as error:
            errors.append((name, error))
        else:
            known[name] = contents
            reports.append(write_contents(contents, workspace.reports_dir))
    if errors and not reports:
        raise errors[0][1]
    compared = []
    for name, sizes in (ladders or {}).items():
        of_name = (c.data for c in known.values() if c.data.record.sweep.name == name)
        found = {data.record.sweep.size: data for data in of_name}
        try:
            compared.append(write_ladder(name, sizes, found, workspace.reports_dir))
        except LabError as error:
            errors.append((f"{name}, all sizes", error))
    page = write_site(workspace, recorded_sweeps(workspace.runs_dir), known)
    messages = tuple(f"{name}: {error}" for name, error in errors)
    return Reports(tuple(reports), tuple(compared), page, messages)
