"""Addresses of MLflow's pages of runs, known without MLflow or its server."""

from pathlib import Path

from switchhead_lab.config.addresses import UI_HOST, UI_PORT, is_server
from switchhead_lab.config.redaction import mask_address, mask_passwords
from switchhead_lab.tracking.record import read_mlflow_link


def page_of_runs(server: str, experiment_id: str) -> str:
    """Return the page of an experiment's runs.

    Args:
        server: Address of a server.
        experiment_id: The experiment.
    """
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs"


def page_of_run(directory: Path, tracking_uri: str) -> str | None:
    """Return the page of a run: on the tracking server, else where `lab ui` serves it.

    Args:
        directory: The run's directory.
        tracking_uri: The workspace's tracking store.

    Returns:
        The address without passwords; None if MLflow has no copy of the run in that store.
    """
    link = read_mlflow_link(directory) or {}
    if tracking_uri == "none" or not {"run_id", "experiment_id"} <= link.keys():
        return None
    recorded = link.get("tracking_uri", "")
    if is_server(tracking_uri):
        server = mask_address(tracking_uri)
        is_there = recorded == mask_passwords(tracking_uri)
    else:
        # The path of a database changes if the workspace is moved, so it is not compared.
        server, is_there = f"http://{UI_HOST}:{UI_PORT}", not is_server(recorded)
    return f"{page_of_runs(server, link['experiment_id'])}/{link['run_id']}" if is_there else None
