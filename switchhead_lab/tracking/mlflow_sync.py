"""Rebuilding an index from the run directories and sweep records."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking.mlflow_fields import params_of, sweep_tags
from switchhead_lab.tracking.mlflow_index import (
    UNSYNCED_FILE,
    Index,
    is_unsynced,
    open_workspace_index,
    sync_run,
)
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.sweep_record import SweepRecord, list_sweep_records, sweep_id


def sync_sweep(index: Index, record: SweepRecord) -> str | None:
    """Make sure a sweep's parent run is in the index; return its id, None on failure."""
    sweep = record.sweep
    parent_id = index.start_sweep(sweep_id(sweep), sweep_tags(sweep), params_of(sweep))
    states = {member.state for member in record.members}
    if "running" not in states:
        index.finish_sweep(parent_id, "interrupted" if "interrupted" in states else "finished")
    return parent_id


def sync_sweeps(index: Index, runs_dir: Path, runs: Iterable[RunRecord]) -> dict[str, str]:
    """Make sure the sweeps of some runs are in the index.

    Returns:
        The parent run's id by run hash; a run of several sweeps belongs to the one started first.
    """
    wanted = {run.run_hash for run in runs}
    parents: dict[str, str] = {}
    for record in sorted(list_sweep_records(runs_dir), key=lambda sweep: sweep.started_at):
        members = {member.run_hash for member in record.members} & wanted
        parent_id = sync_sweep(index, record) if members else None
        if parent_id is not None:
            parents = {**dict.fromkeys(members, parent_id), **parents}
    return parents


def sync_workspace(
    workspace: Workspace, runs: Sequence[RunRecord], *, only_unsynced: bool = False
) -> int:
    """Replay runs, below the parent runs of their sweeps, into the index of a workspace.

    Args:
        workspace: The workspace.
        runs: Runs to replay.
        only_unsynced: Leave out runs that are not marked as missing something.

    Returns:
        How many were replayed.

    Raises:
        WorkspaceError: If the workspace has no index or not all runs could be replayed.
    """
    if workspace.tracking_uri == "none":
        raise WorkspaceError('tracking_uri = "none" in lab.toml: there is no MLflow to copy to')
    index = open_workspace_index(workspace)
    chosen = [run for run in runs if not only_unsynced or is_unsynced(run.directory)]
    parents = sync_sweeps(index, workspace.runs_dir, chosen)
    done = [sync_run(index, run, parents.get(run.run_hash)) for run in chosen]
    if not all(done):
        n_failed = done.count(False)
        raise WorkspaceError(
            f"{n_failed} of {len(done)} runs could not be copied to MLflow, see the warning above; "
            f"the reason for each is in its `{UNSYNCED_FILE}` file"
        )
    return len(done)
