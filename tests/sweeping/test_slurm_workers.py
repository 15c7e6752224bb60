"""Workers as jobs: the script, the ends of a job, and real jobs of submitit on this machine."""

import os
import signal
import sys
from pathlib import Path

import pytest
from cluster_sweeps import (
    ENDLESS,
    LONG,
    N_STEPS,
    checkpoints,
    copy_of,
    metrics,
    states,
    status,
    wait_for_steps,
    with_sweep,
    worker_of,
)
from lab_processes import lab, wait_until

from switchhead_lab.config.clusters import SlurmSettings
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import ClusterError
from switchhead_lab.sweeping.cluster_worker import ClusterWorker
from switchhead_lab.sweeping.slurm_workers import SlurmWorker, describe_jobs, script, submit
from switchhead_lab.tracking.sweep_dir import SweepDir

submitit = pytest.importorskip("submitit", reason="the extra slurm is not installed")


def test_the_script_has_the_settings_and_the_warning(tmp_path: Path) -> None:
    settings = SlurmSettings(
        partition="gpu",
        account="team",
        time="04:00:00",
        cpus_per_worker=8,
        gpus_per_worker=1,
        warning_seconds=120,
        setup=["module load cuda"],
        options={"mem": "16G", "exclusive": True, "oversubscribe": False},
    )
    lines = script(3, settings, tmp_path / "jobs", "lab-tiny").splitlines()
    assert set(lines) >= {
        "#SBATCH --array=0-2%3",
        "#SBATCH --partition=gpu",
        "#SBATCH --account=team",
        "#SBATCH --time=240",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --gpus-per-node=1",
        "#SBATCH --signal=USR1@120",
        "#SBATCH --requeue",
        "#SBATCH --mem=16G",
        "#SBATCH --exclusive",
        "#SBATCH --job-name=lab-tiny",
        "export SUBMITIT_PREEMPT_SIGNAL=USR1",
        "module load cuda",
    }
    (command,) = [line for line in lines if line.startswith("srun ")]
    assert "--cpus-per-task=8" in command
    assert not any("oversubscribe" in line for line in lines)
    plain = script(1, SlurmSettings(), tmp_path, "lab-tiny")
    assert "--array" not in plain
    assert "--gpus" not in plain
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ClusterError, match=r'pip install "switchhead_lab\[slurm\]"'):
        script(1, SlurmSettings(), tmp_path, "name")


def test_a_missing_slurm_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    worker = ClusterWorker(("worker", "tiny"), tmp_path)
    with pytest.raises(ClusterError, match="not on the PATH of this machine; run the command on"):
        submit(worker, 1, SlurmSettings(), tmp_path / "jobs", "name")
    assert not (tmp_path / "jobs").exists()


def test_what_sbatch_refuses_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_program(tmp_path / "sbatch", "echo 'sbatch: error: invalid partition' >&2; exit 1")
    write_program(tmp_path / "srun", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    worker = ClusterWorker(("worker", "tiny"), tmp_path)
    with pytest.raises(ClusterError, match=r"invalid partition.*change \[slurm\] in lab\.toml"):
        submit(worker, 1, SlurmSettings(), tmp_path / "jobs", "name")


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("code", "state", "is_requeued"),
    [
        (128 + signal.SIGUSR1, "RUNNING", True),  # warned
        (128 + signal.SIGTERM, "RUNNING", True),  # pre-empted, in its time of grace
        (128 + signal.SIGTERM, "COMPLETING", False),  # cancelled
        (128 + signal.SIGTERM, "", False),  # Slurm does not answer
        (2, "RUNNING", False),
        (0, "RUNNING", False),
    ],
)
def test_only_jobs_that_were_warned_or_preempted_are_requeued(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, state: str, is_requeued: bool
) -> None:
    write_program(tmp_path / "squeue", f"echo {state}" if state else "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    requeued: list[int] = []

    def requeue(number: int, _frame: object) -> None:
        requeued.append(number)
        raise SystemExit(255)  # as submitit does

    monkeypatch.setattr(signal, "getsignal", lambda _number: requeue)
    monkeypatch.setattr(ClusterWorker, "run", lambda _self: code)
    job = SlurmWorker(ClusterWorker(("worker", "tiny"), tmp_path))
    if code == 0:
        assert job() == 0
    else:
        with pytest.raises(SystemExit) as end:
            job()
        assert end.value.code == (255 if is_requeued else code)
    assert requeued == [signal.SIGUSR1] * is_requeued


def test_a_requeued_job_runs_the_same(tmp_path: Path) -> None:
    job = SlurmWorker(ClusterWorker(("worker", "tiny"), tmp_path))
    assert job.checkpoint().function == job


@pytest.mark.thorough
def test_the_debug_executor_runs_a_worker_here(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, signals
) -> None:
    monkeypatch.chdir(workspace.root)
    # A new process has not imported the module that it runs.
    monkeypatch.delitem(sys.modules, "switchhead_lab.__main__", raising=False)
    worker = worker_of(with_sweep(workspace, n_models=1))
    (job,) = submit(worker, 1, SlurmSettings(), workspace.root / "slurm", "tiny", cluster="debug")
    assert job.exception() is None  # `result` would start a debugger
    assert job.result() == 0
    assert states(workspace) == ["finished"]


@pytest.mark.thorough
def test_two_jobs_finish_a_sweep(workspace: Workspace) -> None:
    worker = worker_of(with_sweep(workspace))
    folder = workspace.root / "slurm"
    jobs = submit(worker, 2, SlurmSettings(), folder, "tiny", cluster="local")
    assert [job.result() for job in jobs] == [0, 0]
    assert states(workspace) == ["finished"] * 2
    assert len(describe_jobs(jobs).split()) == 2
    assert lab(workspace, "sweep", "tiny").count("steps") == 0


@pytest.mark.thorough
def test_a_job_that_is_warned_continues_its_run_when_requeued(
    workspace: Workspace, tmp_path: Path
) -> None:
    """As before a time limit: nothing is lost and nothing repeated."""
    whole = copy_of(with_sweep(workspace, n_models=1), tmp_path / "whole")
    settings, folder = SlurmSettings(), workspace.root / "slurm"
    (job,) = submit(worker_of(workspace, *LONG), 1, settings, folder, "tiny", cluster="local")
    wait_for_steps(workspace, 20)
    os.kill(worker_pid(workspace), signal.SIGUSR1)
    wait_until(lambda: status(workspace)["attempt"] == 2)
    assert job.result() == 0
    (step, last) = checkpoints(workspace)
    assert 0 < step < N_STEPS == last
    assert "Requeued job" in Path(job.paths.stdout).read_text()
    assert states(workspace) == ["finished"]
    lab(whole, "worker", "tiny", *(word for value in LONG for word in ("--set", value)))
    assert metrics(workspace) == metrics(whole)


def worker_pid(workspace: Workspace) -> int:
    """Return the process of the one worker."""
    (path,) = (workspace.runs_dir / "sweeps").iterdir()
    (worker,) = SweepDir(path).workers.alive()
    return worker.record.pid


@pytest.mark.thorough
def test_stopped_jobs_end_well_and_waiting_ones_do_not_start(workspace: Workspace) -> None:
    worker = worker_of(with_sweep(workspace, n_models=1), *ENDLESS)
    settings, folder = SlurmSettings(), workspace.root / "slurm"
    (job,) = submit(worker, 1, settings, folder, "tiny", cluster="local")
    wait_for_steps(workspace, 10)
    words = [word for value in ENDLESS for word in ("--set", value)]
    assert "stopped" in lab(workspace, "sweep", "stop", "tiny", *words)
    assert job.result() == 0
    (later,) = submit(worker, 1, settings, folder, "tiny", cluster="local")
    assert later.result() == 0
    assert status(workspace)["attempt"] == 1
    assert status(workspace)["state"] == "interrupted"
