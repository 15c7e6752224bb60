"""A sweep of one long run for workers on clusters, and what it comes to."""

import json
import shutil
from pathlib import Path

from lab_processes import wait_until
from tiny_sweep import SWEEP

from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.sweeping.cluster_worker import ClusterWorker
from switchhead_lab.tracking.record import RunRecord, list_runs
from switchhead_lab.tracking.sweep_dir import list_sweep_records

N_STEPS = 400
# No checkpoint but those of signals and of the end.
LONG = (
    f"training.n_steps={N_STEPS}",
    "training.checkpoint_every=100000",
    "training.validate_every=100",
)
ENDLESS = (*LONG, "training.n_steps=1000000")
_TIMED = ("tokens_per_second", "ms_per_step")


def with_sweep(workspace: Workspace, *, n_models: int = 2) -> Workspace:
    """Add the sweep "tiny" to a workspace: its dense models, without a search."""
    models, _, rest = SWEEP.partition("[[studies]]")
    if n_models == 1:
        models = models.partition("[[models]]")[0]
    text = f"{models}[sizes.small]{rest.partition('[sizes.small]')[2]}"
    (workspace.sweeps_dir / "tiny.toml").write_text(text, encoding="utf-8")
    return workspace


def copy_of(workspace: Workspace, root: Path) -> Workspace:
    """Return a copy of a workspace."""
    shutil.copytree(workspace.root, root)
    return find_workspace(root, environment={})


def arguments(*overrides: str) -> tuple[str, ...]:
    """Return the arguments of `lab` for a sweep command, after the command."""
    return ("tiny", *(word for value in overrides for word in ("--set", value)))


def worker_of(workspace: Workspace, *overrides: str) -> ClusterWorker:
    """Return a worker of the sweep."""
    environment = {"LAB_HOME": str(workspace.root), "OMP_NUM_THREADS": "1"}
    command = ("worker", *arguments(*overrides), "--unless-stopped")
    return ClusterWorker(command, workspace.root, environment)


def wait_for_steps(workspace: Workspace, n_points: int, n_runs: int = 1) -> None:
    """Wait until runs are in progress and have recorded some metrics."""

    def are_there() -> bool:
        files = workspace.runs_dir.glob("words-*/metrics.jsonl")
        return sum(path.read_text().count("\n") >= n_points for path in files) >= n_runs

    wait_until(are_there)


def states(workspace: Workspace) -> list[str]:
    """Return the states of the sweep's runs."""
    (record,) = list_sweep_records(workspace.runs_dir)
    return [member.state for member in record.members]


def metrics(workspace: Workspace) -> dict[str, list[object]]:
    """Return all recorded metrics of each run, without times."""
    return {run.name: _untimed(run) for run in list_runs(workspace.runs_dir)}


def _untimed(run: RunRecord) -> list[object]:
    return [
        (point.step, {k: v for k, v in point.metrics.items() if not k.endswith(_TIMED)})
        for point in run.metrics()
    ]


def status(workspace: Workspace) -> dict[str, object]:
    """Return the status of the one run."""
    (path,) = workspace.runs_dir.glob("words-*/status.json")
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def checkpoints(workspace: Workspace) -> list[int]:
    """Return the steps of the checkpoints of the one run."""
    found = workspace.runs_dir.glob("words-*/checkpoints/step-*")
    return sorted(int(path.name.removeprefix("step-")) for path in found)
