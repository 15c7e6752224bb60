"""Rebuilding an index from the run directories and sweep records."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError, WorkspaceError
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.mlflow_bounds import PATIENT_BOUNDS
from switchhead_lab.tracking.mlflow_index import Index, open_workspace_index, sync_run
from switchhead_lab.tracking.record import UNSYNCED_FILE, RunRecord, RunState, read_run
from switchhead_lab.tracking.sweep_record import (
    SweepMember,
    SweepRecord,
    list_sweep_records,
    sweep_record_path,
)
from switchhead_lab.tracking.unsynced import is_unsynced


def sync_sweep(index: Index, runs_dir: Path, record: SweepRecord) -> str | None:
    """Make sure a sweep's parent run is in the index; return its id, None on failure."""
    directory = sweep_record_path(runs_dir, record.sweep).parent
    return index.replay_sweep(directory, sweep_state(runs_dir, record))


def sweep_state(runs_dir: Path, record: SweepRecord) -> RunState:
    """Return the state of a sweep; that of a killed process is "interrupted"."""
    states = {_observed(runs_dir, member) for member in record.members}
    if "running" in states:
        return "running"
    return "interrupted" if "interrupted" in states else "finished"


def _observed(runs_dir: Path, member: SweepMember) -> RunState:
    """Return a member's state; one whose process was killed still says "running"."""
    if member.state != "running":
        return member.state
    try:
        return observed_state(read_run(runs_dir / member.run_name))
    except LabError:  # killed before the run began
        return "interrupted"


def sync_sweeps(
    index: Index, runs_dir: Path, runs: Iterable[RunRecord]
) -> tuple[dict[str, str], bool]:
    """Make sure that the sweeps of some runs, and those marked as unsynced, are in the index.

    Returns:
        The parent run's id by run hash, and whether all sweeps are in the index. A run of several
        sweeps belongs to the one started first.
    """
    wanted = {run.run_hash for run in runs}
    parents: dict[str, str] = {}
    is_complete = True
    for record in sorted(list_sweep_records(runs_dir), key=lambda sweep: sweep.started_at):
        members = {member.run_hash for member in record.members} & wanted
        if not members and not is_unsynced(sweep_record_path(runs_dir, record.sweep).parent):
            continue
        parent_id = sync_sweep(index, runs_dir, record)
        is_complete &= parent_id is not None
        if parent_id is not None:
            parents = {**dict.fromkeys(members, parent_id), **parents}
    return parents, is_complete


def sync_workspace(
    workspace: Workspace,
    runs: Sequence[RunRecord],
    *,
    only_unsynced: bool = False,
    is_whole: bool = False,
) -> int:
    """Replay runs, below the parent runs of their sweeps, into the index of a workspace.

    Args:
        workspace: The workspace.
        runs: Runs to replay.
        only_unsynced: Leave out runs that are not marked as missing something.
        is_whole: Whether `runs` are all runs, so that MLflow runs without a directory can go.

    Returns:
        How many were replayed.

    Raises:
        WorkspaceError: If the workspace has no index or not all runs could be replayed.
    """
    if workspace.tracking_uri == "none":
        raise WorkspaceError('tracking_uri = "none" in lab.toml: there is no MLflow to copy to')
    index = open_workspace_index(workspace, PATIENT_BOUNDS)
    chosen = [run for run in runs if not only_unsynced or is_unsynced(run.directory)]
    parents, sweeps_done = sync_sweeps(index, workspace.runs_dir, chosen)
    done = [sync_run(index, run, parents.get(run.run_hash)) for run in chosen]
    if is_whole and all(done):
        index.remove_orphans(workspace.runs_dir, _sweep_names(workspace.runs_dir))
    if not all(done) or not sweeps_done:
        n_failed = done.count(False)
        raise WorkspaceError(
            f"{n_failed} of {len(done)} runs could not be copied to MLflow, see the warning above; "
            f"the reason for each is in its `{UNSYNCED_FILE}` file"
        )
    return len(done)


def _sweep_names(runs_dir: Path) -> Collection[str]:
    return {path.name for path in (runs_dir / "sweeps").glob("*") if path.is_dir()}
