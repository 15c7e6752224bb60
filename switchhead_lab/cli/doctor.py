"""`lab doctor`: a diagnosis of this machine and workspace."""

from typing import Annotated

import typer

from switchhead_lab.cli.options import DeviceOption, JsonOption
from switchhead_lab.json_text import to_json

_EXIT_UNSYNCED = 3


def doctor(
    device: DeviceOption = "",
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Close orphaned runs, remove leftovers of killed processes, update MLflow and "
            "upload runs.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the machine, the kernels used for expert projections, the workspace and its records.

    Nothing is trained; the CPU kernel is built if needed. Records are compared with running
    processes, with MLflow and with the object store, into which a tiny object is written. --fix
    mends what can be mended and says what it did; it deletes no result, and leaves runs alone that
    are being trained.

    Example: lab doctor --fix
    """
    from dataclasses import asdict

    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.training.diagnosis import diagnose
    from switchhead_lab.upkeep.mending import examine_records, mend_records, record_findings
    from switchhead_lab.upkeep.store_health import examine_store, mend_store, store_findings
    from switchhead_lab.views.doctor import finding_lines

    workspace = find_workspace().on_device(device)
    findings = diagnose(workspace)
    health, is_synced = examine_records(workspace), True
    findings += record_findings(health)
    store = examine_store(workspace)
    findings += store_findings(store)
    if fix:
        mended, is_synced = mend_records(workspace, health)
        uploaded, has_all = mend_store(workspace, store)
        findings += [*mended, *uploaded]
        is_synced = is_synced and has_all
    if as_json:
        typer.echo(to_json([asdict(finding) for finding in findings]))
    else:
        for line in finding_lines(findings):
            typer.echo(line)
    if not is_synced:
        raise typer.Exit(_EXIT_UNSYNCED)
