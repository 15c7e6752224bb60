"""`lab init`: a new workspace, and its databases."""

import itertools
from pathlib import Path
from typing import Annotated

import typer


def init(
    database: Annotated[
        str,
        typer.Option(
            "--database",
            metavar="ADDRESS",
            help="PostgreSQL database for workers on several hosts, without its password.",
        ),
    ] = "",
    artifacts: Annotated[
        str,
        typer.Option(
            "--artifacts",
            metavar="ADDRESS",
            help="Object store of run directories, like s3://bucket/prefix, without credentials.",
        ),
    ] = "",
) -> None:
    """Make this folder a workspace, and prepare its databases for sweeps and tracking.

    Writes lab.toml unless there is one. Databases that are ready are left as they are, so it may be
    run again at any time, on every host. Without --database, they are files in the runs folder.

    With it, sweeps, Optuna and MLflow each get a schema in one PostgreSQL database, which must
    exist and let its user create schemas. Keep the password out of lab.toml: it is read from
    PGPASSWORD or from ~/.pgpass.

    With --artifacts, runs are uploaded to an object store when they end, and hosts fetch each
    other's; a tiny object is written and read. Its credentials come from the environment or from
    ~/.aws.

    Example: lab init --database postgresql://lab@database/lab --artifacts s3://bucket/lab
    """
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.workspace_setup import (
        check_store,
        prepare_databases,
        write_settings,
    )

    folder = Path.cwd()
    if path := write_settings(folder, database, artifacts):
        typer.echo(f"wrote {path}")
    workspace = find_workspace(folder, environment={})
    for line in itertools.chain(prepare_databases(workspace), check_store(workspace)):
        typer.echo(line)
