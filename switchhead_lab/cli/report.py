"""`lab report`: the tables and figures of sweeps."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.options import JsonOption
from switchhead_lab.errors import RecordError
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import print_list, print_table

if TYPE_CHECKING:
    from switchhead_lab.reporting.ladder_report import LadderReport
    from switchhead_lab.reporting.report import Report
    from switchhead_lab.reporting.selection import Selection


NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SWEEP]...",
        help="Names or ids of sweeps, or a table or figure of the paper (table1 to table9, figure1 "
        "to figure6); by default the most recently changed sweep.",
        show_default=False,
    ),
]
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
    sweeps: NamesArgument = None,
    size: Annotated[str, typer.Option(help="Size of the sweep; the latest by default.")] = "",
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
    """Write the tables and figures of sweeps, with the paper's values if they have any.

    Each declaration has its own folder, reports/ID/, so corpora and overrides never overwrite each
    other. `lab sweep` prints the id of what it runs, and reports name those of other declarations.
    A table or figure of the paper is assembled from all sweeps that reproduce it, in
    reports/paper/; sweeps of the same name take precedence.

    A sweep with a ladder gets one report of all its sizes: loss against training compute, power
    laws and compute multipliers. --size writes that of one size.

    Example: lab report matched-params --size pocket --axis model-macs:executed

    Example: lab report matched-params matched-macs --together

    Example: lab report table2 --size pocket
    """
    from switchhead_lab.cli.paper_part import paper_parts, report_parts
    from switchhead_lab.config.sweep_files import recorded_name
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.reporting.selection import select_record

    workspace = find_workspace()
    if parts := paper_parts(workspace, sweeps or []):
        given = {"--together": together, "--axis": axes, "--columns": columns}
        report_parts(workspace, parts, size, given, strict=strict, as_json=as_json)
        return
    names = [recorded_name(workspace.sweeps_dir, name) for name in sweeps or [""]]
    selections = [select_record(workspace.runs_dir, name, size) for name in names]
    folders = workspace.runs_dir, workspace.reports_dir
    written = list(_write(selections, folders, axes, columns, size=size, together=together))
    if as_json:
        data = [one.as_data() for one in written]
        typer.echo(to_json(data if len(data) > 1 else data[0]))
    else:
        for one in written:
            _print(one)
    incomplete = [line for one in written for line in one.incomplete]
    if strict and incomplete:
        raise RecordError("\n".join(incomplete))


def _write(
    selections: "Sequence[Selection]",
    folders: tuple[Path, Path],
    axes: list[str] | None,
    columns: str,
    *,
    size: str,
    together: bool,
) -> "Iterator[Report | LadderReport]":
    """Write the reports into the second folder; the first is that of all runs."""
    from switchhead_lab.reporting.ladder_report import write_ladder
    from switchhead_lab.reporting.report import DEFAULT_AXES, write_report
    from switchhead_lab.reporting.together import write_together

    chosen = axes or DEFAULT_AXES
    if together:
        yield write_together(selections, *folders, chosen, columns)
        return
    for selection in selections:
        sweep = selection.record.sweep
        if sweep.ladder and not size:
            yield write_ladder(sweep.name, sweep.ladder, *folders)
        else:
            yield write_report(selection, *folders, chosen, columns)


def _print(written: "Report | LadderReport") -> None:
    from switchhead_lab.reporting.ladder_report import LadderReport
    from switchhead_lab.views.report import file_lines, ladder_tables

    if isinstance(written, LadderReport):
        for table in ladder_tables(written):
            print_table(table)
    else:
        _print_sweep(written)
    print_list(written.caption)
    for line in file_lines(written):
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
            print_table(table)
        print_list(written.claims_caption)
    print_table(model_table(written))
    print_table(cost_table(written))
    if written.paper is not None:
        print_table(paper_table(written.paper, written.paper_quality))
        print_list([written.paper_caption])
