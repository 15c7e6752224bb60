"""`lab doctor`: a diagnosis of this machine and workspace."""

import typer

from switchhead_lab.cli.options import DeviceOption, JsonOption
from switchhead_lab.json_text import to_json


def doctor(
    device: DeviceOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show the machine, the kernels used for expert projections, and the workspace's folders.

    Nothing is trained; the CPU kernel is built if needed.

    Example: lab doctor
    """
    from dataclasses import asdict

    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.training.diagnosis import diagnose
    from switchhead_lab.views.doctor import finding_lines

    findings = diagnose(find_workspace().on_device(device))
    if as_json:
        typer.echo(to_json([asdict(finding) for finding in findings]))
        return
    for line in finding_lines(findings):
        typer.echo(line)
