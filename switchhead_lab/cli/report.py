"""`lab report`: the tables and figures of a sweep."""

from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.options import JsonOption
from switchhead_lab.errors import RecordError
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import print_table

if TYPE_CHECKING:
    from switchhead_lab.reporting.report import Report


def report(
    sweep: Annotated[
        str, typer.Argument(help="Name of a sweep; by default the most recently changed one.")
    ] = "",
    size: Annotated[str, typer.Option(help="Size of the sweep; the latest by default.")] = "",
    axes: Annotated[
        list[str] | None,
        typer.Option(
            "--axis",
            metavar="COST[:CONVENTION]",
            help="Draw a figure against this cost: attention-macs, layer-macs, model-macs (per "
            "token), attention-memory, model-memory, parameters or active-parameters; by the "
            "sweep's convention, or by :published, :equations or :executed. Repeatable.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if a run of the sweep has no result.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the tables and figures of a sweep, with the paper's values if it has any.

    Example: lab report matched-params --size pocket --axis model-macs:executed
    """
    from switchhead_lab.config.sweep_files import recorded_name
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.reporting.report import DEFAULT_AXES, write_report
    from switchhead_lab.reporting.selection import select_record

    workspace = find_workspace()
    name = recorded_name(workspace.sweeps_dir, sweep)
    selection = select_record(workspace.runs_dir, name, size)
    written = write_report(
        selection, workspace.runs_dir, workspace.reports_dir, axes or DEFAULT_AXES
    )
    if as_json:
        typer.echo(to_json(written.as_data()))
    else:
        _print(written)
    if strict and written.incomplete:
        raise RecordError("\n".join(written.incomplete))


def _print(written: "Report") -> None:
    from switchhead_lab.views.report import cost_table, file_lines, model_table, paper_table

    print_table(model_table(written))
    for sentence in written.caption:
        typer.echo(f"  {sentence}")
    typer.echo()
    print_table(cost_table(written.costs))
    if written.paper is not None:
        typer.echo()
        print_table(paper_table(written.paper, written.paper_quality))
        typer.echo(f"  {written.paper_caption}")
    for line in file_lines(written):
        typer.echo(line)
