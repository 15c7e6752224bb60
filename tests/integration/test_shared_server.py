"""Workspaces that share a real MLflow server over HTTP do not change each other's runs."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow_runs import assert_mirrored

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.tracking.mlflow_environment import ENVIRONMENT
from switchhead_lab.tracking.mlflow_index import EXPERIMENT, artifact_dir
from switchhead_lab.tracking.mlflow_server import free_port
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.mlflow_sync import sync_workspace
from switchhead_lab.tracking.record import RunLabels, list_runs
from switchhead_lab.tracking.run_dir import RunDir

pytestmark = pytest.mark.thorough

START_SECONDS = 120.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("server"), free_port(5300)
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder}/server.db"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    environment = {"PATH": "/usr/bin:/bin", **ENVIRONMENT}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, folder / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def wait_for(address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(log.read_text())


def make_workspace(root: Path, address: str, config: RunConfig) -> Workspace:
    root.mkdir()
    (root / "lab.toml").write_text(f'tracking_uri = "{address}"\n')
    workspace = find_workspace(root, environment={})
    labels = RunLabels(size="tiny", variant="model")
    run = RunDir.open(workspace.runs_dir, config, labels, {}, b"")
    run.close("failed", 1, f"in {root.name}")
    return workspace


def store_of(workspace: Workspace) -> MlflowStore:
    return MlflowStore(workspace.tracking_uri, EXPERIMENT, artifact_dir(workspace))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_equal_runs_of_two_workspaces_are_two_runs(
    server: str, tmp_path: Path, tiny_config: Callable[..., RunConfig]
) -> None:
    first, second = (make_workspace(tmp_path / name, server, tiny_config()) for name in "ab")
    for workspace in (first, second, first):
        runs = list_runs(workspace.runs_dir)
        assert sync_workspace(workspace, runs, is_whole=True) == 1
    names = set()
    for workspace in (first, second):
        store = store_of(workspace)
        (run,) = list_runs(workspace.runs_dir)
        assert_mirrored(store, run.directory)
        names.add(store.client.get_experiment(store.experiment_id).name)
    assert len(names) == 2
    # A moved workspace keeps its own.
    (tmp_path / "a").rename(tmp_path / "c")
    moved = find_workspace(tmp_path / "c", environment={})
    assert store_of(moved).client.get_experiment(store_of(moved).experiment_id).name in names
