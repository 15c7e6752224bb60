"""Drills: workers on a real Slurm cluster of this machine are warned, pre-empted and cancelled.

Needs Debian's packages slurm-wlm and munge. Minutes long: `make drill`.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from cluster_sweeps import (
    ENDLESS,
    LONG,
    N_STEPS,
    arguments,
    checkpoints,
    copy_of,
    metrics,
    states,
    status,
    wait_for_steps,
    with_sweep,
)
from lab_processes import lab, wait_until
from slurm_cluster import Slurm, environment

from switchhead_lab.config.workspace import Workspace

pytestmark = [pytest.mark.drill]

LONG_SECONDS = 1200.0


def submit(slurm: Slurm, workspace: Workspace, *options: str) -> str:
    """Run `lab sweep tiny --on slurm` and return the id of the job."""
    done = subprocess.run(
        [sys.executable, "-m", "switchhead_lab", "sweep", *options, "--on", "slurm"],
        cwd=workspace.root,
        env={**environment(slurm.folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.partition(": job ")[2].partition(";")[0]


def wait_for_states(slurm: Slurm, *expected: str) -> None:
    wait_until(lambda: sorted(slurm.states().values()) == sorted(expected))


def release(slurm: Slurm, job: str) -> None:
    """Wait until a job is requeued, and let it start at once instead of after two minutes."""
    wait_until(lambda: slurm.states()[job] == "PENDING" and n_restarts(slurm, job) == 1)
    slurm.call("scontrol", "update", f"JobId={job}", "StartTime=now")


def n_restarts(slurm: Slurm, job: str) -> int:
    return int(slurm.call("scontrol", "show", "job", job).partition("Restarts=")[2].split()[0])


@pytest.fixture(autouse=True)
def _no_jobs_of_others(slurm: Slurm):
    yield
    slurm.call("scancel", "--user=root")
    done = {"COMPLETED", "CANCELLED", "FAILED"}
    wait_until(lambda: set(slurm.states().values()) <= done)


def log_of(workspace: Workspace, job: str) -> str:
    (path,) = Path(workspace.root / "slurm/tiny").glob(f"{job}_*log.out")
    return path.read_text()


def test_workers_finish_a_sweep(slurm: Slurm, workspace: Workspace) -> None:
    job = submit(slurm, with_sweep(workspace), "tiny", "--workers", "2")
    wait_until(lambda: {slurm.states()[f"{job}_{n}"] for n in range(2)} == {"COMPLETED"})
    assert states(workspace) == ["finished"] * 2
    assert "steps" not in lab(workspace, "sweep", "tiny")


@pytest.mark.parametrize("how", ["warned", "preempted"])
def test_a_job_that_must_go_continues_its_run_when_requeued(
    slurm: Slurm, workspace: Workspace, tmp_path: Path, how: str
) -> None:
    whole = copy_of(with_sweep(workspace, n_models=1), tmp_path / "whole")
    job = submit(slurm, workspace, *arguments(*LONG))
    wait_for_steps(workspace, 20)
    if how == "warned":  # as Slurm does before the time limit
        slurm.call("scancel", "--signal=USR1", job)
    else:
        urgent = ("--partition=high", "--cpus-per-task=4", "--output=/dev/null")
        slurm.call("sbatch", *urgent, "--wrap", "sleep 1")
    release(slurm, job)
    assert status(workspace)["state"] == "interrupted"
    assert states(workspace) == ["interrupted"]
    (step,) = checkpoints(workspace)
    assert 0 < step < N_STEPS
    wait_until(lambda: slurm.states()[job] == "COMPLETED")
    assert n_restarts(slurm, job) == 1
    assert checkpoints(workspace) == [step, N_STEPS]
    assert status(workspace)["attempt"] == 2
    assert states(workspace) == ["finished"]
    options = arguments(*LONG)
    lab(whole, "worker", *options)
    assert metrics(workspace) == metrics(whole)


def test_a_time_limit_requeues_a_job_until_its_run_is_done(
    slurm: Slurm, workspace: Workspace, tmp_path: Path
) -> None:
    """The warning of Slurm itself, with a limit of one minute that the first attempt has."""
    whole = copy_of(with_sweep(workspace, n_models=1), tmp_path / "whole")
    longer = arguments(*LONG, "training.n_steps=6000")
    limits = ("--cluster", "time=1", "--cluster", "warning_seconds=20")
    job = submit(slurm, workspace, *longer, *limits)
    release(slurm, job)
    slurm.call("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    wait_until(lambda: slurm.states()[job] == "COMPLETED", LONG_SECONDS)
    assert states(workspace) == ["finished"]
    assert "interrupted by SIGUSR1" in log_of(workspace, job)
    lab(whole, "worker", *longer, seconds=LONG_SECONDS)
    assert metrics(workspace) == metrics(whole)


def test_a_cancelled_job_saves_a_checkpoint_and_stays_cancelled(
    slurm: Slurm, workspace: Workspace
) -> None:
    job = submit(slurm, with_sweep(workspace, n_models=1), *arguments(*ENDLESS))
    wait_for_steps(workspace, 20)
    slurm.call("scancel", job)
    wait_until(lambda: slurm.states()[job] == "CANCELLED")
    assert states(workspace) == ["interrupted"]
    assert len(checkpoints(workspace)) == 1


def test_stop_ends_running_jobs_and_those_that_wait(slurm: Slurm, workspace: Workspace) -> None:
    with_sweep(workspace, n_models=1)
    options = arguments(*ENDLESS)
    running = submit(slurm, workspace, *options, "--cluster", "cpus_per_worker=3")
    waiting = submit(slurm, workspace, *options, "--cluster", "cpus_per_worker=3")
    wait_for_steps(workspace, 20)
    assert slurm.states()[waiting] == "PENDING"
    lab(workspace, "sweep", "stop", *options)
    wait_until(lambda: [slurm.states()[one] for one in (running, waiting)] == ["COMPLETED"] * 2)
    assert status(workspace)["attempt"] == 1
    assert states(workspace) == ["interrupted"]
    assert "stopped as `lab sweep stop` asked" in log_of(workspace, waiting)
