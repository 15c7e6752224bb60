"""How commands that train end: what is left to do, and the exit code that says so."""

import contextlib
from pathlib import Path

import typer

EXIT_FAILED_RUNS = 1
EXIT_UNSYNCED = 3


def end_training(runs_dir: Path, failures: str = "") -> None:
    """Print what a command leaves behind and exit if that is anything.

    Args:
        runs_dir: Folder of all runs.
        failures: Runs that failed, by cause; empty if none did.

    Raises:
        Exit: With 1 if runs failed, else with 3 if MLflow lacks runs.
    """
    from switchhead_lab.tracking.unsynced import unsynced_notice

    notice = unsynced_notice(runs_dir)
    with contextlib.suppress(OSError):  # nobody reads it any more; the exit code says it too
        if failures:
            text = f"failed: {failures}; see `lab runs list --state failed`"
            typer.secho(text, err=True, fg="red")
        if notice:
            typer.secho(notice, err=True, fg="yellow")
    if failures:
        raise typer.Exit(EXIT_FAILED_RUNS)
    if notice:
        raise typer.Exit(EXIT_UNSYNCED)
