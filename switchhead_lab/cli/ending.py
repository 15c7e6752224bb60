"""The end of training commands: notices of failed and unsynced runs, and the exit code."""

from pathlib import Path

import typer

from switchhead_lab.terminal import tell

EXIT_FAILED_RUNS = 1
EXIT_UNSYNCED = 3


def end_training(runs_dir: Path, failures: str = "") -> None:
    """Report failed runs and runs missing from MLflow, and exit if there are any.

    Args:
        runs_dir: Folder of all runs.
        failures: What `describe_failures` returns; empty if no run failed.

    Raises:
        Exit: With 1 if runs failed, else with 3 if runs are missing from MLflow.
    """
    from switchhead_lab.tracking.unsynced import unsynced_notice

    notice = unsynced_notice(runs_dir)
    if failures:
        tell(f"failed: {failures}", "red")
    if notice:
        tell(notice, "yellow")
    if failures:
        raise typer.Exit(EXIT_FAILED_RUNS)
    if notice:
        raise typer.Exit(EXIT_UNSYNCED)
