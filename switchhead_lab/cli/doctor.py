"""`lab doctor`: what this machine and workspace offer."""

from typing import Annotated

import typer

from switchhead_lab.cli.match import DeviceOption
from switchhead_lab.json_text import to_json


def doctor(
    device: DeviceOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the machine, what expert projections are computed with, and where things are kept.

    Nothing is trained; the CPU kernel is built if it was not yet.

    Example: lab doctor
    """
    from dataclasses import asdict

    from switchhead_lab.cli.tables import print_table
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.training.diagnosis import diagnose

    findings = diagnose(find_workspace().on_device(device))
    if as_json:
        typer.echo(to_json([asdict(finding) for finding in findings]))
        return
    rows = [[finding.subject, finding.finding, finding.advice] for finding in findings]
    print_table("this machine and workspace", ["", "", "advice"], rows, n_text_columns=3)
