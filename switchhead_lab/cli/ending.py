"""The end of training commands: last uploads, notices of what is missing, and the exit code."""

from typing import TYPE_CHECKING

import typer

from switchhead_lab.terminal import tell

if TYPE_CHECKING:
    from switchhead_lab.config.workspace import Workspace

EXIT_FAILED_RUNS = 1
EXIT_UNSYNCED = 3


def end_training(workspace: "Workspace", failures: str = "") -> None:
    """Upload what is left, and report failed runs and runs missing elsewhere, if there are any.

    Args:
        workspace: The workspace.
        failures: What `describe_failures` returns; empty if no run failed.

    Raises:
        Exit: With 1 if runs failed, else with 3 if MLflow or the object store lacks runs.
    """
    from switchhead_lab.tracking.unsynced import unsynced_notice

    notices = [unsynced_notice(workspace.runs_dir)]
    if address := workspace.settings.artifacts_uri:
        from switchhead_lab.tracking.artifact_upload import Uploads, upload_notice

        Uploads(workspace, tell).catch_up()
        notices.append(upload_notice(workspace.runs_dir, address))
    if failures:
        tell(f"failed: {failures}", "red")
    for notice in filter(None, notices):
        tell(notice, "yellow")
    if failures:
        raise typer.Exit(EXIT_FAILED_RUNS)
    if any(notices):
        raise typer.Exit(EXIT_UNSYNCED)
