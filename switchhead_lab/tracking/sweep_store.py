"""Where the record of a sweep is kept: in its directory, or in the workspace's database."""

from collections.abc import Callable

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError
from switchhead_lab.tracking.sweep_dir import SweepDir, list_sweep_records, sweeps_dir


def open_sweep(workspace: Workspace, sweep: Sweep) -> SweepDir:
    """Return the record of a sweep, which may not exist yet.

    Raises:
        StorageError: If the workspace has a database and it does not answer.
    """
    directory = SweepDir.of(workspace.runs_dir, sweep)
    if not workspace.database:
        return directory
    # Deferred: SQLAlchemy takes longer to import than most commands to run.
    from switchhead_lab.tracking.database_server import open_database
    from switchhead_lab.tracking.sweep_database import DatabaseSweepDir

    database = open_database(workspace.database)
    return DatabaseSweepDir(directory.path, database, workspace.settings.vanished_seconds)


def forget_sweep(workspace: Workspace, sweep: Sweep) -> None:
    """Remove a sweep from the workspace's database, if it has one; files stay.

    Raises:
        StorageError: If the database does not answer.
    """
    if not workspace.database:
        return
    from switchhead_lab.tracking.sweep_database import DatabaseSweepDir

    directory = open_sweep(workspace, sweep)
    assert isinstance(directory, DatabaseSweepDir), "the workspace has a database"
    directory.forget()


def elsewhere_notice(workspace: Workspace) -> str | None:
    """Return one line with the number of sweeps' ended runs that are not on this host.

    Returns:
        None if there are none, or the workspace has no object store to fetch them from.
    """
    if not workspace.settings.artifacts_uri:
        return None
    ended = {
        member.run_name
        for record in list_sweep_records(workspace.runs_dir)
        for member in record.members
        if member.state in ("finished", "failed", "pruned")
    }
    number = sum(not (workspace.runs_dir / name).is_dir() for name in ended)
    if not number:
        return None
    runs = "1 run of a sweep is" if number == 1 else f"{number} runs of sweeps are"
    return f"{runs} on other hosts only: lab report, lab runs show RUN fetch them"


def refresh_records(workspace: Workspace, say: Callable[[str], None]) -> None:
    """Refresh this host's copies of sweeps' records from the database, if the workspace has one.

    Args:
        workspace: The workspace.
        say: Called with a warning if the database fails; the copies stay as they are.
    """
    if not workspace.database:
        return
    from switchhead_lab.tracking.sweep_database import refresh_copies

    try:
        refresh_copies(workspace.database, sweeps_dir(workspace.runs_dir))
    except LabError as error:
        say(f"warning: what other hosts did since is missing: {error}")
