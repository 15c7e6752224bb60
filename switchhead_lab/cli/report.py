"""`lab report`: the tables and figures of sweeps."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.options import JsonOption
from switchhead_lab.cli.other_hosts import bring_sweeps
from switchhead_lab.errors import RecordError
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import beside_path, print_list
from switchhead_lab.terminal_table import print_table

if TYPE_CHECKING:
    from switchhead_lab.config.workspace import Workspace
    from switchhead_lab.reporting.all_sweeps import Reports
    from switchhead_lab.reporting.ladder_report import LadderReport
    from switchhead_lab.reporting.report import Report


NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SWEEP]...",
        help="Names or ids of sweeps, or a table or figure of the paper (table1 to table9, figure1 "
        "to figure6); by default all sweeps that have runs.",
        show_default=False,
    ),
]
SizeOption = Annotated[
    str, typer.Option(help="Only this size; by default the latest of a named sweep, or all.")
]
AxisOption = Annotated[
    list[str] | None,
    typer.Option(
        "--axis",
        metavar="COST[:CONVENTION]",
        help="Draw a figure against this cost: attention-macs, layer-macs, model-macs (per token), "
        "attention-memory, model-memory, parameters, active-parameters or time (of a step, from "
        "`lab bench step`); by the sweep's convention, or by :published, :equations or :executed.",
    ),
]
ColumnsOption = Annotated[
    str,
    typer.Option(
        "--columns",
        metavar="NAME,...",
        help="Columns to print in table.md, table.tex and report.md, by their names in table.csv, "
        "or all; a compact choice by default.",
    ),
]


def report(
    sweeps: NamesArgument = None,
    size: SizeOption = "",
    together: Annotated[
        bool, typer.Option("--together", help="Write one report of all sweeps side by side.")
    ] = False,
    axes: AxisOption = None,
    columns: ColumnsOption = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if a run of a sweep has no result.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the tables and figures of sweeps, and one page over all of them.

    The page is reports/index.html: verdicts, tables and figures of all recorded sweeps in one file.
    Each declaration also has its own folder, reports/ID/, so corpora and overrides never overwrite
    each other. `lab sweep` prints the id of what it runs, and reports name those of other
    declarations. Sizes of a ladder are also compared in training compute.

    A table or figure of the paper is assembled from all sweeps that reproduce it, in
    reports/paper/; sweeps of the same name take precedence.

    Example: lab report

    Example: lab report matched-params --size pocket --axis model-macs:executed

    Example: lab report matched-params matched-macs --together

    Example: lab report table2 --size pocket
    """
    from switchhead_lab.cli.paper_part import paper_parts, report_parts
    from switchhead_lab.config.workspace import find_workspace

    workspace = find_workspace()
    faults = bring_sweeps(workspace)
    if parts := paper_parts(workspace, sweeps or []):
        given = {"--together": together, "--axis": axes, "--columns": columns}
        report_parts(workspace, parts, size, given, strict=strict, as_json=as_json)
        if faults:
            raise RecordError("\n".join(faults))
        return
    written = _write(workspace, sweeps or [], size, axes, columns, together=together)
    if as_json:
        data = [{**one.as_data(), "page": str(written.page)} for one in written.all]
        typer.echo(to_json(data if len(data) > 1 else data[0]))
    else:
        _print_all(written, in_detail=bool(sweeps) or together)
    if faults := [*faults, *written.errors]:
        raise RecordError("\n".join(faults))
    if strict and written.incomplete:
        raise RecordError("\n".join(_gaps(written, workspace)))


def _gaps(written: "Reports", workspace: "Workspace") -> Iterator[str]:
    """Yield what is missing from reports, each with the commands that train it."""
    from switchhead_lab.reporting.commands import how_to
    from switchhead_lab.tracking.sweep_dir import list_sweep_records
    from switchhead_lab.tracking.sweep_record import sweep_id

    sweeps = {
        sweep_id(record.sweep): record.sweep for record in list_sweep_records(workspace.runs_dir)
    }
    for one in written.all:
        yield from one.incomplete
        for name in getattr(one, "rungs", (one.folder.name,)) if one.incomplete else ():
            if name in sweeps:
                yield how_to(sweeps[name], workspace.sweeps_dir, "continues it")


def _write(
    workspace: "Workspace",
    sweeps: Sequence[str],
    size: str,
    axes: list[str] | None,
    columns: str,
    *,
    together: bool,
) -> "Reports":
    """Write the reports of the named sweeps, or of all, and the page."""
    from switchhead_lab.config.sweep_files import recorded_name
    from switchhead_lab.reporting.all_sweeps import write_reports
    from switchhead_lab.reporting.contents import DEFAULT_AXES
    from switchhead_lab.reporting.selection import (
        ladder_of,
        select_all,
        select_record,
        select_rungs,
    )

    runs_dir, sweeps_dir = workspace.runs_dir, workspace.sweeps_dir
    names = [recorded_name(sweeps_dir, name) for name in sweeps]
    chosen = [(name, select_record(runs_dir, name, size, sweeps_dir)) for name in names]
    if not chosen:
        chosen = [(one.record.sweep.name, one) for one in select_all(runs_dir, size, sweeps_dir)]
    ladders: dict[str, Sequence[str]] = {}
    if not together:
        found = [(one.record.sweep.name, ladder_of(one, name, size)) for name, one in chosen]
        ladders = {name: ladder for name, ladder in found if ladder}
    selections = [one for _, one in chosen if one.record.sweep.name not in ladders]
    for name, ladder in ladders.items():
        selections += select_rungs(runs_dir, name, ladder)
    return write_reports(
        selections,
        workspace,
        axes or DEFAULT_AXES,
        columns,
        ladders=ladders,
        together=together,
    )


def _print_all(written: "Reports", *, in_detail: bool) -> None:
    from switchhead_lab.views.report import sweep_lines, verdict_table

    of_ladders = {folder for ladder in written.ladders for folder in ladder.rungs}
    brief = [one for one in written.reports if not in_detail or one.folder.name in of_ladders]
    for one in written.all if in_detail else ():
        if one not in brief:
            _print(one)
    table = verdict_table(brief)
    if table is not None:
        print_table(table, is_narrow=True)
    if lines := list(sweep_lines([*([] if in_detail else written.ladders), *brief])):
        typer.echo(beside_path("written to", written.page.parent, ", a folder each:"))
        print_list(lines)
    typer.echo(f"\n{beside_path('page:', written.page)}")


def _print(written: "Report | LadderReport") -> None:
    from switchhead_lab.reporting.ladder_report import LadderReport
    from switchhead_lab.views.report import file_lines, ladder_tables

    if isinstance(written, LadderReport):
        for table in ladder_tables(written):
            print_table(table, is_narrow=True)
    else:
        _print_sweep(written)
    print_list(written.caption)
    for line in file_lines(written.folder, written.files):
        typer.echo(line)


def _print_sweep(written: "Report") -> None:
    from switchhead_lab.views.report import (
        claim_tables,
        cost_table,
        model_table,
        paper_table,
    )

    if written.claims is not None:
        for table in claim_tables(written.claims):
            print_table(table, is_narrow=True)
        print_list(written.claims_caption)
        typer.echo("")
    print_table(model_table(written), is_narrow=True)
    print_table(cost_table(written), is_narrow=True)
    if written.paper is not None:
        print_table(paper_table(written.paper, written.paper_quality), is_narrow=True)
        print_list([written.paper_caption])
