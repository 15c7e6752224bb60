"""`lab worker` and `lab sweep status`, `stop`, `resume`, `retry`, as a user types them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import lab as lab_here
from lab_processes import SECONDS, lab, start, wait_until
from tiny_sweep import SWEEP

from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.data.token_store import register

pytestmark = pytest.mark.processes
N_STEPS = "training.n_steps=100000"


@pytest.fixture
def shared(tmp_path: Path) -> Workspace:
    """A workspace with the sweep "tiny", without MLflow."""
    root = tmp_path / "lab"
    (root / "sweeps").mkdir(parents=True)
    (root / "lab.toml").write_text('tracking_uri = "none"\ndevice = "cpu"\n')
    (root / "sweeps" / "tiny.toml").write_text(SWEEP)
    text = tmp_path / "words.txt"
    text.write_text("\n".join(f"word {n * n % 97} and {n}" for n in range(500)) + "\n")
    workspace = find_workspace(root, environment={})
    register(workspace.data_dir, text, "words")
    return workspace


def here(workspace: Workspace, *arguments: str, code: int = 0) -> str:
    """Run a command in this process and return stdout and stderr."""
    done = lab_here(*arguments, cwd=workspace.root, code=code)
    return done.stdout + done.stderr


def test_a_sweep_is_watched_stopped_and_resumed(shared: Workspace) -> None:
    endless = ("tiny", "--set", N_STEPS)
    worker = start(shared, "worker", *endless)
    try:
        wait_until(lambda: any(shared.runs_dir.glob("tiny*")) or any(running(shared)))
        (status,) = json.loads(here(shared, "sweep", "status", *endless, "--json"))
        (seen,) = status["workers"]
        assert seen["pid"] == worker.pid
        assert seen["run_name"].startswith("words-small-dense")
        text = here(shared, "sweep", "status", *endless)
        assert seen["worker_id"] in text
        assert "stopped; `lab sweep resume tiny` continues" in here(
            shared, "sweep", "stop", *endless
        )
        _, errors = worker.communicate(timeout=SECONDS)
    finally:
        worker.kill()
        worker.communicate()
    assert worker.returncode == 0
    assert "stopped as `lab sweep stop` asked" in errors
    text = here(shared, "sweep", "status", *endless)
    command = f"lab sweep resume tiny --size small --set {N_STEPS}"
    assert f"no worker is running it; continue with: {command}" in " ".join(text.split())
    assert "no worker is running tiny" in here(shared, "sweep", "stop", *endless)
    (run,) = shared.runs_dir.glob("words-*")
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"
    assert list((run / "checkpoints").glob("step-*"))


def running(workspace: Workspace) -> Iterator[Path]:
    """Yield the metrics files of runs that have made a step."""
    for path in workspace.runs_dir.glob("words-*/metrics.jsonl"):
        if path.stat().st_size:
            yield path


@pytest.mark.thorough
def test_two_workers_on_this_machine_end_like_one(shared: Workspace) -> None:
    text = lab(shared, "sweep", "tiny", "--workers", "2")
    assert "[2] " in text
    assert "sweep tiny-small-" in text
    (status,) = json.loads(lab(shared, "sweep", "status", "tiny", "--json"))
    assert all(part["n_done"] == part["n_runs"] for part in status["parts"])
    assert status["workers"] == []


@pytest.mark.thorough
def test_a_finished_sweep_is_reported_and_resumed_without_training(shared: Workspace) -> None:
    lab(shared, "worker", "tiny")
    assert "done; next: lab report tiny-small-" in lab(shared, "sweep", "status", "tiny")
    assert "steps" not in lab(shared, "sweep", "resume", "tiny")


def test_what_was_never_started_cannot_be_resumed(shared: Workspace) -> None:
    text = here(shared, "sweep", "resume", "tiny", code=2)
    assert "does not exist, so there is nothing to resume" in text
    assert "start it without `resume`" in text
    assert "no worker is running tiny" in here(shared, "sweep", "stop", "tiny")
    assert "0/1" in here(shared, "sweep", "status", "tiny")


def test_retry_says_what_to_retry(shared: Workspace) -> None:
    assert "say which runs to retry: --failed" in here(shared, "sweep", "retry", "tiny", code=2)
    text = here(shared, "sweep", "retry", "tiny", "--failed", "--cause", "non-finit", code=2)
    assert '--cause "non-finit": unknown (did you mean "non-finite"?); use one of' in text
    assert "0 runs are back in the queue" in here(shared, "sweep", "retry", "tiny", "--failed")
