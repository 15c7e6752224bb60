"""Workers as tasks of Ray: resources, errors, and a real cluster of two nodes on this machine."""

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_sweeps import (
    ENDLESS,
    LONG,
    arguments,
    copy_of,
    metrics,
    states,
    wait_for_steps,
    with_sweep,
)
from lab_processes import SECONDS, lab, start

from switchhead_lab.config.clusters import RaySettings
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import ClusterError
from switchhead_lab.sweeping.cluster_worker import ClusterWorker
from switchhead_lab.sweeping.ray_workers import (
    describe_resources,
    n_places,
    resources_of,
    train_on_ray,
)
from switchhead_lab.tracking.record import list_runs

BYTES_OF_OBJECTS = 80 * 2**20  # the least that Ray takes


@pytest.mark.parametrize(
    ("settings", "nodes", "expected"),
    [
        (RaySettings(), [{"CPU": 4.0}, {"CPU": 2.0}], 6),
        (RaySettings(cpus_per_worker=3), [{"CPU": 4.0}, {"CPU": 2.0}], 1),
        (RaySettings(gpus_per_worker=1.0), [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}], 2),
        (RaySettings(gpus_per_worker=0.1), [{"CPU": 8.0, "GPU": 0.3}], 3),
        (RaySettings(resources={"a100": 1.0}), [{"CPU": 8.0, "a100": 4.0}, {"CPU": 9.0}], 4),
        (RaySettings(gpus_per_worker=1.0), [{"CPU": 8.0}], 0),
        (RaySettings(), [], 0),
    ],
)
def test_places_are_counted_node_by_node(settings, nodes, expected: int) -> None:
    assert n_places(nodes, resources_of(settings)) == expected


def test_resources_are_described() -> None:
    settings = RaySettings(cpus_per_worker=4, gpus_per_worker=0.5, resources={"a100": 1.0})
    assert describe_resources(settings) == "4 CPU, 0.5 GPU, 1 a100"


def test_a_missing_package_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    worker = ClusterWorker(("worker", "tiny"), tmp_path)
    with pytest.raises(ClusterError, match=r'pip install "switchhead_lab\[ray\]"'):
        train_on_ray(worker, 1, RaySettings(), lambda text: None)


@pytest.mark.thorough
def test_an_address_without_a_cluster_is_one_error_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        worker = ClusterWorker(("worker", "tiny"), tmp_path)
        with pytest.raises(ClusterError, match=f"no cluster answers at {address}: Connection ref"):
            train_on_ray(worker, 1, RaySettings(address=address), lambda text: None)


# Names that a process wants to look up are refused and noted, with the program.
NO_NAMES = """
import os, socket, sys
def look_up(host, *arguments, **options):
    if host.replace(".", "").isdecimal():
        return original(host, *arguments, **options)
    with open(os.environ["LOOKED_UP"], "a") as file:
        file.write(f"{host} {sys.argv[:1]}\\n")
    raise socket.gaierror("no name may be looked up")
original, socket.getaddrinfo = socket.getaddrinfo, look_up
"""
# A head reports its start even where reports are disabled.
OFFLINE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
}
CLUSTER = """
import json, sys
from ray.cluster_utils import Cluster
options = {"num_cpus": 1, "object_store_memory": int(sys.argv[1])}
cluster = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
second = cluster.add_node(**options)
print("READY", json.dumps({"address": cluster.address}), flush=True)
for line in sys.stdin:
    if line.strip() == "kill":
        cluster.remove_node(second, allow_graceful=False)
    else:
        break
cluster.shutdown()
"""


class TwoNodes:
    """A cluster of two nodes with one CPU each, in a process that starts and ends it.

    Attributes:
        address: Its address.
    """

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self._process, self.address = process, address

    def kill_one(self) -> None:
        """Kill the node that is not the head, as if its machine failed."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()

    @property
    def option(self) -> str:
        return f"address={self.address}"


@contextlib.contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Run a cluster in the block."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    environment = {**os.environ, **OFFLINE, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(BYTES_OF_OBJECTS)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("READY"):
                yield TwoNodes(process, json.loads(line.removeprefix("READY"))["address"])
                break
        else:
            pytest.fail("the cluster did not start")
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired, BrokenPipeError):
            process.communicate("end\n", timeout=60.0)
        process.kill()
        process.communicate()


@pytest.fixture
def looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that notes every name looked up by Ray, the command or a worker."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(NO_NAMES)
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("LOOKED_UP", str(tmp_path / "looked-up"))
    return tmp_path / "looked-up"


@pytest.mark.thorough
def test_workers_on_both_nodes_finish_a_sweep_and_look_no_name_up(
    workspace: Workspace, looked_up: Path
) -> None:
    with_sweep(workspace)
    with two_nodes() as cluster:
        on_ray = ("--workers", "2", "--on", "ray", "--cluster", cluster.option)
        text = lab(workspace, "sweep", *arguments(*LONG), *on_ray)
        printed = " ".join(text.replace("\\", "").split())
        assert f"`{shlex.join(['lab', 'sweep', *arguments(*LONG)])}` evaluates the runs" in printed
        too_much = ("--cluster", "cpus_per_worker=9")
        text = lab(workspace, "sweep", "tiny", *on_ray, *too_much, code=2)
        assert "no node of the cluster has 9 CPU for a worker" in text
    assert states(workspace) == ["finished"] * 2
    assert len({run.status.pid for run in list_runs(workspace.runs_dir)}) == 2
    # The head asks in vain which cloud it is in; everything else asks for nothing.
    lines = looked_up.read_text().splitlines() if looked_up.exists() else []
    assert [line for line in lines if "ray/dashboard/dashboard.py" not in line] == []
    assert [line for line in lines if "ray.io" in line] == []


@pytest.mark.thorough
def test_the_run_of_a_killed_node_is_continued_by_the_other(
    workspace: Workspace, tmp_path: Path, looked_up: Path
) -> None:
    whole = copy_of(with_sweep(workspace), tmp_path / "whole")
    options = arguments(*LONG, "training.checkpoint_every=10")
    with two_nodes() as cluster:
        on_ray = ("--workers", "2", "--on", "ray", "--cluster", cluster.option)
        sweep = start(workspace, "sweep", *options, *on_ray)
        wait_for_steps(workspace, 30, n_runs=2)
        cluster.kill_one()
        output, errors = sweep.communicate(timeout=SECONDS)
        assert sweep.returncode == 0, output + errors
    assert states(workspace) == ["finished"] * 2
    attempts = sorted(run.status.attempt for run in list_runs(workspace.runs_dir))
    assert attempts == [1, 2]
    lab(whole, "worker", *options)
    assert metrics(workspace) == metrics(whole)


@pytest.mark.thorough
def test_an_interrupted_wait_lets_workers_save_checkpoints(
    workspace: Workspace, looked_up: Path
) -> None:
    with_sweep(workspace, n_models=1)
    with two_nodes() as cluster:
        on_ray = ("--on", "ray", "--cluster", cluster.option)
        sweep = start(workspace, "sweep", *arguments(*ENDLESS), *on_ray)
        wait_for_steps(workspace, 10)
        sweep.send_signal(signal.SIGTERM)
        output, errors = sweep.communicate(timeout=SECONDS)
    assert sweep.returncode == 128 + signal.SIGTERM, output + errors
    assert states(workspace) == ["interrupted"]
    assert list(workspace.runs_dir.glob("words-*/checkpoints/step-*"))
