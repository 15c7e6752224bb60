"""`lab report table2`, `lab report figure2`: tables and figures of the paper."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import print_list, print_notes
from switchhead_lab.terminal_table import print_table

if TYPE_CHECKING:
    from switchhead_lab.config.workspace import Workspace
    from switchhead_lab.reporting.paper_tables.paper_report import PaperReport
    from switchhead_lab.reporting.paper_tables.parts import PaperPart
    from switchhead_lab.trained.paper_figures import FigureReport


def paper_parts(workspace: "Workspace", names: Sequence[str]) -> "list[PaperPart]":
    """Return the tables and figures that names stand for; empty if they are those of sweeps.

    Raises:
        ConfigError: If only some are, or the paper has no such table or figure.
    """
    from switchhead_lab.reporting.paper_tables.parts import find_part

    found = [find_part(name, workspace.sweeps_dir, workspace.runs_dir) for name in names]
    parts = [part for part in found if part is not None]
    if parts and len(parts) < len(found):
        sweeps = [name for name, part in zip(names, found, strict=True) if part is None]
        raise ConfigError(
            f"{', '.join(sweeps)} and tables or figures of the paper in one command; report them "
            "separately"
        )
    return parts


def report_parts(
    workspace: "Workspace",
    parts: "Sequence[PaperPart]",
    size: str,
    options: Mapping[str, object],
    *,
    strict: bool,
    as_json: bool,
) -> None:
    """Write and print tables and figures of the paper.

    Args:
        workspace: The workspace.
        parts: What to write.
        size: Size of the sweeps; by default the latest that was run.
        options: Options of sweeps' reports; none may be given.
        strict: Whether to fail if a row has no result.
        as_json: Whether to print JSON.

    Raises:
        ConfigError: If an option or the size does not apply.
        RecordError: If something is missing that a figure, or `strict`, needs.
    """
    for option, value in options.items():
        if value:
            raise ConfigError(f"{option}: reports on the paper's tables and figures do not have it")
    written = [_write(workspace, part, size) for part in parts]
    if as_json:
        data = [one.as_data() for one in written]
        typer.echo(to_json(data if len(data) > 1 else data[0]))
    else:
        for one in written:
            _print(one)
    incomplete = [line for one in written for line in one.incomplete]
    if strict and incomplete:
        raise RecordError("\n".join(incomplete))


def _write(workspace: "Workspace", part: "PaperPart", size: str) -> "PaperReport | FigureReport":
    if part.kind == "figure":
        from switchhead_lab.trained.paper_figures import write_figure

        return write_figure(workspace, part.number, size)
    from switchhead_lab.reporting.paper_tables.paper_report import write_paper_table

    folders = (workspace.sweeps_dir, workspace.runs_dir, workspace.reports_dir)
    return write_paper_table(part.number, *folders, size)


def _print(written: "PaperReport | FigureReport") -> None:
    from switchhead_lab.reporting.paper_tables.paper_report import PaperReport
    from switchhead_lab.views.paper_table import paper_table
    from switchhead_lab.views.report import file_lines

    if isinstance(written, PaperReport):
        print_table(paper_table(written.table), is_narrow=True)
    else:
        print_notes([written.title, ""])
    print_list(written.caption)
    for line in file_lines(written.folder, written.files):
        typer.echo(line)
