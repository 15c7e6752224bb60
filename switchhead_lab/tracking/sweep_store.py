"""Where the record of a sweep is kept: in its directory, or in the workspace's database."""

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.tracking.sweep_dir import SweepDir


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
