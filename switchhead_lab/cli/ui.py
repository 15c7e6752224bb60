"""`lab ui`: MLflow's web interface for the workspace's runs."""

import os
import sys
from typing import Annotated

import typer

from switchhead_lab.config.addresses import UI_HOST, UI_PORT
from switchhead_lab.errors import ConfigError


def ui(
    port: Annotated[
        int,
        typer.Option(min=1, max=65_535, help="Port; if it is taken, the next free one is used."),
    ] = UI_PORT,
    opens: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to listen on; others than this machine's own need a password, from "
            "LAB_UI_PASSWORD or a prompt.",
        ),
    ] = UI_HOST,
) -> None:
    """Serve MLflow's web interface until Ctrl-C; prints the page of the runs.

    Only this machine can reach it, unless --host names another address. Then everyone has to log
    in as "lab" with a password of at least 12 characters.

    Example: lab ui --open
    """
    import webbrowser

    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.tracking.mlflow_access import PASSWORD_VARIABLE, shared_access
    from switchhead_lab.tracking.mlflow_index import artifact_dir
    from switchhead_lab.tracking.mlflow_server import serve_ui

    workspace = find_workspace()
    # Taken out of the environment, which other programs that this one starts would inherit.
    access = shared_access(host, os.environ.pop(PASSWORD_VARIABLE, None), _ask)
    open_page = webbrowser.open if opens else None
    files = artifact_dir(workspace)
    serve_ui(workspace.tracking_uri, files, port, typer.echo, open_page, access)


def _ask() -> str:
    """Ask for a password twice, without showing it.

    Raises:
        ConfigError: If there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise ConfigError(
            "--host: needs a password; set LAB_UI_PASSWORD, or run it on a terminal, which asks"
        )
    return str(
        typer.prompt('Password of the user "lab"', hide_input=True, confirmation_prompt=True)
    )
