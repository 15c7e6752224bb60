"""Rebuilding an index from the run directories and sweep records."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError, WorkspaceError
from switchhead_lab.tracking.file_names import UNSYNCED_FILE
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.mlflow_bounds import PATIENT_BOUNDS
from switchhead_lab.tracking.mlflow_index import Index, open_workspace_index, sync_run
from switchhead_lab.tracking.record import RunRecord, RunState, read_run
from switchhead_lab.tracking.sweep_dir import SweepDir, list_sweep_records
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord
from switchhead_lab.tracking.unsynced import is_unsynced


def sync_sweep(index: Index, runs_dir: Path, record: SweepRecord) -> str | None:
    """Update a sweep's parent run in the index; return its id, None on failure."""
    directory = SweepDir.of(runs_dir, record.sweep).path
    return index.replay_sweep(directory, sweep_state(runs_dir, record))


def sweep_state(runs_dir: Path, record: SweepRecord) -> RunState:
    """Return the state of a sweep; "interrupted" if its process was killed."""
    states = {_observed(runs_dir, member) for member in record.members}
    if "running" in states:
        return "running"
    return "interrupted" if "interrupted" in states else "finished"


def _observed(runs_dir: Path, member: SweepMember) -> RunState:
    """Return a member's actual state; "running" is stale if its process was killed."""
    if member.state != "running":
        return member.state
    try:
        return observed_state(read_run(runs_dir / member.run_name))
    except LabError:  # killed before the run started
        return "interrupted"


def sync_sweeps(
    index: Index, runs_dir: Path, runs: Iterable[RunRecord]
) -> tuple[dict[str, str], int]:
    """Update the parent runs of unsynced sweeps and of the sweeps of some runs.

    Returns:
        The parent run's id by run hash, and how many sweeps failed. A run of several sweeps belongs
        to the one started first.
    """
    wanted = {run.run_hash for run in runs}
    parents: dict[str, str] = {}
    n_failed = 0
    for record in sorted(list_sweep_records(runs_dir), key=lambda sweep: sweep.started_at):
        members = {member.run_hash for member in record.members} & wanted
        if not members and not is_unsynced(SweepDir.of(runs_dir, record.sweep).path):
            continue
        parent_id = sync_sweep(index, runs_dir, record)
        if parent_id is None:
            n_failed += 1
        else:
            parents = {**dict.fromkeys(members, parent_id), **parents}
    return parents, n_failed


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
        only_unsynced: Skip runs that are not marked as unsynced.
        is_whole: Whether `runs` are all runs, so that MLflow runs without a directory are removed.

    Returns:
        The number of runs replayed.

    Raises:
        WorkspaceError: If the workspace has no index, or a run or sweep could not be replayed.
    """
    if workspace.tracking_uri == "none":
        raise WorkspaceError('tracking_uri = "none" in lab.toml: there is no MLflow to copy to')
    index = open_workspace_index(workspace, PATIENT_BOUNDS)
    chosen = [run for run in runs if not only_unsynced or is_unsynced(run.directory)]
    parents, n_failed_sweeps = sync_sweeps(index, workspace.runs_dir, chosen)
    done = [sync_run(index, run, parents.get(run.run_hash)) for run in chosen]
    if is_whole and all(done):
        index.remove_orphans(workspace.runs_dir)
    failed = [f"{done.count(False)} of {len(done)} runs"] if not all(done) else []
    if n_failed_sweeps:
        failed.append("1 sweep" if n_failed_sweeps == 1 else f"{n_failed_sweeps} sweeps")
    if failed:
        raise WorkspaceError(
            f"{' and '.join(failed)} could not be copied to MLflow, see the warning above; "
            f"the reason for each is in its `{UNSYNCED_FILE}` file"
        )
    return len(done)
