"""`lab report`: the tables and figures of sweeps."""

from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.options import JsonOption
from switchhead_lab.errors import RecordError
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import print_list, print_table

if TYPE_CHECKING:
    from switchhead_lab.reporting.all_sweeps import Reports
    from switchhead_lab.reporting.report import Report


AxisOption = Annotated[
    list[str] | None,
    typer.Option(
        "--axis",
        metavar="COST[:CONVENTION]",
        help="Draw a figure against this cost: attention-macs, layer-macs, model-macs (per token), "
        "attention-memory, model-memory, parameters or active-parameters; by the sweep's "
        "convention, or by :published, :equations or :executed. Repeatable.",
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
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SWEEP]...",
            help="Names or ids of sweeps; by default all that have runs.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(help="Only this size; by default the latest of a named sweep, or all.")
    ] = "",
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
    declarations.

    Example: lab report

    Example: lab report matched-params --size pocket --axis model-macs:executed

    Example: lab report matched-params matched-macs --together
    """
    from switchhead_lab.config.sweep_files import recorded_name
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.reporting.all_sweeps import require_complete, write_reports
    from switchhead_lab.reporting.contents import DEFAULT_AXES
    from switchhead_lab.reporting.selection import select_all, select_record

    workspace = find_workspace()
    names = [recorded_name(workspace.sweeps_dir, name) for name in sweeps or []]
    selections = [select_record(workspace.runs_dir, name, size) for name in names]
    written = write_reports(
        selections or select_all(workspace.runs_dir, size),
        workspace,
        axes or DEFAULT_AXES,
        columns,
        together=together,
    )
    if as_json:
        data = [{**one.as_data(), "page": str(written.page)} for one in written.reports]
        typer.echo(to_json(data if len(data) > 1 else data[0]))
    else:
        _print_all(written, in_detail=bool(names) or together)
    if written.errors:
        raise RecordError("\n".join(written.errors))
    if strict:
        require_complete(written.reports)


def _print_all(written: "Reports", *, in_detail: bool) -> None:
    from switchhead_lab.views.report import sweep_lines, verdict_table

    if in_detail:
        for one in written.reports:
            _print(one)
    else:
        table = verdict_table(written.reports)
        if table is not None:
            print_table(table)
        for line in sweep_lines(written.reports):
            typer.echo(line)
    typer.echo(f"\npage: {written.page}")


def _print(written: "Report") -> None:
    from switchhead_lab.views.report import (
        claim_tables,
        cost_table,
        file_lines,
        model_table,
        paper_table,
    )

    if written.claims is not None:
        for table in claim_tables(written.claims):
            print_table(table)
        print_list(written.claims_caption)
    print_table(model_table(written))
    print_table(cost_table(written))
    if written.paper is not None:
        print_table(paper_table(written.paper, written.paper_quality))
        print_list([written.paper_caption])
    print_list(written.caption)
    for line in file_lines(written):
        typer.echo(line)
