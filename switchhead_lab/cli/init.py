"""`lab init`: a new workspace, and its databases."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    pass


def init(
    database: Annotated[
        str,
        typer.Option(
            "--database",
            metavar="ADDRESS",
            help="PostgreSQL database for workers on several hosts, without its password.",
        ),
    ] = "",
) -> None:
    """Make this folder a workspace, and prepare its databases for sweeps and tracking.

    Writes lab.toml unless there is one. Databases that are ready are left as they are, so it may be
    run again at any time, on every host. Without --database, they are files in the runs folder.

    With it, sweeps, Optuna and MLflow each get a schema in one PostgreSQL database, which must
    exist and let its user create schemas. Keep the password out of lab.toml: it is read from
    PGPASSWORD or from ~/.pgpass.

    Example: lab init --database postgresql://lab@database/lab
    """
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.workspace_setup import prepare_databases, write_settings

    folder = Path.cwd()
    if path := write_settings(folder, database):
        typer.echo(f"wrote {path}")
    workspace = find_workspace(folder, environment={})
    for line in prepare_databases(workspace):
        typer.echo(line)
