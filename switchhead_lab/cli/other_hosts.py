"""What commands do about runs of other hosts: fetch those that they need."""

from pathlib import Path
from typing import TYPE_CHECKING

from switchhead_lab.terminal import tell

if TYPE_CHECKING:
    from switchhead_lab.config.workspace import Workspace
    from switchhead_lab.sweeping.other_hosts import Fetcher
    from switchhead_lab.tracking.sweep_record import SweepRecord


def fetcher_of(workspace: "Workspace") -> "Fetcher":
    """Return what fetches runs from the workspace's object store, if it has one."""
    if not workspace.settings.artifacts_uri:
        from switchhead_lab.sweeping.other_hosts import NoFetcher

        return NoFetcher()
    # Deferred: slow imports, which a workspace without a store does not need.
    from switchhead_lab.upkeep.fetching import RunFetcher

    return RunFetcher(workspace, tell)


def bring(workspace: "Workspace", *references: str, weights: bool = False) -> None:
    """Fetch the runs that a command names, unless they are on this host.

    Raises:
        RecordError: If a stored run is damaged or incomplete, or several match.
        StorageError: If the store fails.
    """
    if workspace.settings.artifacts_uri:
        fetcher = fetcher_of(workspace)
        for reference in references:
            fetcher.bring(reference, weights=weights)


def bring_model(reference: str, *, weights: bool = True) -> None:
    """Fetch the run that a command opens as a model, unless it names a folder or an export.

    Raises:
        RecordError: If the stored run is damaged or incomplete, or several match.
        StorageError: If the store fails.
    """
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.errors import WorkspaceError

    if Path(reference).name != reference or Path(reference).is_dir():
        return
    try:
        workspace = find_workspace()
    except WorkspaceError:  # reported where the run is looked up
        return
    bring(workspace, reference, weights=weights)


def refresh_sweeps(workspace: "Workspace") -> None:
    """Refresh the records of sweeps from the database, if there is one; a fault is a warning."""
    if workspace.settings.database:  # the import takes longer than a listing
        from switchhead_lab.tracking.sweep_store import refresh_records

        refresh_records(workspace, tell)


def elsewhere_line(workspace: "Workspace") -> str | None:
    """Return one line with the number of runs that other hosts have; None if there are none."""
    if not workspace.settings.artifacts_uri:
        return None
    from switchhead_lab.tracking.sweep_store import elsewhere_notice

    return elsewhere_notice(workspace)


def bring_sweeps(workspace: "Workspace", only: str = "") -> list[str]:
    """Refresh the records of sweeps, and fetch their ended runs without weights.

    Args:
        workspace: The workspace.
        only: Name or id of a sweep; empty for all.

    Returns:
        Why stored runs cannot be used, one message each; other failures are warnings.
    """
    refresh_sweeps(workspace)
    if not workspace.settings.artifacts_uri:
        return []
    from switchhead_lab.tracking.sweep_dir import list_sweep_records
    from switchhead_lab.tracking.sweep_record import sweep_id
    from switchhead_lab.upkeep.fetching import bring_or_warn

    members = [
        member
        for record in list_sweep_records(workspace.runs_dir)
        if only in ("", record.sweep.name, sweep_id(record.sweep))
        for member in record.members
    ]
    fetcher = fetcher_of(workspace)
    return bring_or_warn(lambda: fetcher.bring_members(members), tell)


def bring_for_checks(workspace: "Workspace", reference: str) -> list[str]:
    """Fetch the runs that are to be verified: of a sweep, of all sweeps, or one with its weights.

    Args:
        workspace: The workspace.
        reference: Name of a sweep or run, or the start of a hash; empty for all sweeps.

    Returns:
        As `bring_sweeps`.

    Raises:
        RecordError: If a stored run that is named is damaged or incomplete.
        StorageError: If the store fails when a run is named.
    """
    if not workspace.settings.artifacts_uri or Path(reference).name != reference:
        return []
    from switchhead_lab.config.sweep_files import recorded_name
    from switchhead_lab.tracking.sweep_dir import list_sweep_records
    from switchhead_lab.tracking.sweep_record import sweep_id

    name = recorded_name(workspace.sweeps_dir, reference) if reference else ""
    known = {
        one
        for record in list_sweep_records(workspace.runs_dir)
        for one in ("", record.sweep.name, sweep_id(record.sweep))
    }
    if name in known:
        return bring_sweeps(workspace, name)
    if reference:
        bring(workspace, reference, weights=True)
    return []


def bring_for_claims(workspace: "Workspace", fetcher: "Fetcher", record: "SweepRecord") -> None:
    """Fetch the runs of a sweep for its claims, with weights if it evaluates them."""
    if workspace.settings.artifacts_uri:
        from switchhead_lab.upkeep.fetching import bring_or_warn

        weights = record.sweep.evaluation is not None
        for fault in bring_or_warn(
            lambda: fetcher.bring_members(record.members, weights=weights), tell
        ):
            tell(f"warning: {fault}")
