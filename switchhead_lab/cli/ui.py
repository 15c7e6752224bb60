"""`lab ui`: MLflow's web interface for the workspace's runs."""

from typing import Annotated

import typer

from switchhead_lab.config.addresses import UI_PORT


def ui(
    port: Annotated[
        int,
        typer.Option(min=1, max=65_535, help="Port; if it is taken, the next free one is used."),
    ] = UI_PORT,
    opens: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve MLflow's web interface on this machine until Ctrl-C; prints the page of the runs.

    Example: lab ui --open
    """
    import webbrowser

    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.tracking.mlflow_index import artifact_dir
    from switchhead_lab.tracking.mlflow_server import serve_ui

    workspace = find_workspace()
    open_page = webbrowser.open if opens else None
    serve_ui(workspace.tracking_uri, artifact_dir(workspace), port, typer.echo, open_page)
