"""`lab sweep --on`: what it would start, and options that do not go together."""

from pathlib import Path

import pytest
from cluster_sweeps import with_sweep
from command_line import lab

from switchhead_lab.config.clusters import RaySettings, SlurmSettings
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.errors import RecordError
from switchhead_lab.sweeping.launching import withdraw_stops, worker_on_cluster
from switchhead_lab.tracking.sweep_dir import SweepDir


@pytest.fixture
def root(workspace: Workspace) -> Path:
    return with_sweep(workspace).root


def test_a_dry_run_prints_what_would_be_submitted(root: Path) -> None:
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    settings = root / "lab.toml"
    settings.write_text(f'{settings.read_text()}[slurm]\npartition = "gpu"\n', encoding="utf-8")
    changes = ("--cluster", "time=04:00:00", "--cluster", "options.mem=16G")
    command = ("sweep", "tiny", "--workers", "3", "--on", "slurm", *changes, "--dry-run")
    lines = lab(*command, cwd=root).stdout.splitlines()
    assert set(lines) >= {
        *("#SBATCH --array=0-2%3", "#SBATCH --time=240", "#SBATCH --mem=16G"),
        *("#SBATCH --partition=gpu", "#SBATCH --job-name=lab-tiny"),
        f"#SBATCH --output={root}/slurm/tiny/%A_%a_0_log.out",
    }
    assert not (root / "slurm").exists()
    assert not (root / "runs").exists()


def test_a_dry_run_for_ray_names_resources_and_command(root: Path) -> None:
    options = ("--set", "training.n_steps=9", "--cluster", "cpus_per_worker=2", "--dry-run")
    text = lab("sweep", "tiny", "--workers", "4", "--on", "ray", *options, cwd=root).stdout
    assert "4 tasks on the Ray cluster at auto, each with 2 CPU:" in text
    assert "lab worker tiny --set training.n_steps=9 --unless-stopped" in text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--on", "slrm"], '--on "slrm": unknown (did you mean "slurm"?); use local, slurm or ray'),
        (["--cluster", "time=1"], "--cluster: only with --on slurm or --on ray"),
        (["--dry-run"], "--dry-run: only with --on slurm or --on ray"),
        (["--on", "ray", "--retrain", "all"], "--retrain: not with --on ray"),
        (["--on", "slurm", "--cluster", "tme=1"], 'unknown key "tme" (did you mean "time"?)'),
        (["--on", "slurm", "--cluster", "time"], "--cluster time: write KEY.KEY=VALUE, e.g. time="),
        (["--on", "ray", "--cluster", "address=x"], "--cluster: address = 'x'"),
        (["--on", "slurm", "--device", "cuda"], "gpus_per_worker = 0, so workers get no GPU"),
    ],
)
def test_mistakes_are_one_clear_message(root: Path, options: list[str], expected: str) -> None:
    error = lab("sweep", "tiny", *options, cwd=root, code=2).stderr
    assert error.startswith("error: ")
    assert expected in error


def test_a_worker_gets_the_workspace_and_the_threads(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(root)
    workspace = find_workspace(root)
    worker = worker_on_cluster(workspace, ["worker", "tiny"], SlurmSettings(cpus_per_worker=6))
    assert worker.folder == root
    assert worker.environment == {"LAB_HOME": str(root), "OMP_NUM_THREADS": "6"}
    assert worker.arguments == ("worker", "tiny", "--unless-stopped")


def test_a_fraction_of_a_gpu_limits_its_memory(root: Path) -> None:
    settings = RaySettings(gpus_per_worker=0.25)
    worker = worker_on_cluster(find_workspace(root), ["worker", "tiny"], settings)
    assert worker.environment["SWITCHHEAD_LAB_GPU_SHARE"] == "0.25"
    assert "CUDA_VISIBLE_DEVICES" not in worker.environment


def test_a_worker_from_a_queue_does_not_start_a_stopped_sweep(root: Path) -> None:
    from switchhead_lab.config.sweep_files import find_sweep

    workspace = find_workspace(root)
    (sweep,) = find_sweep(workspace.sweeps_dir, "tiny").resolve_all("", ())
    directory = SweepDir.of(workspace.runs_dir, sweep)
    directory.workers.request_stop()
    done = lab("worker", "tiny", "--unless-stopped", cwd=root)
    assert "stopped as `lab sweep stop` asked; `lab sweep resume` continues" in done.stderr
    assert not list(workspace.runs_dir.glob("words-*"))
    with directory.workers.joined({}), pytest.raises(RecordError, match="is being stopped"):
        withdraw_stops(workspace, [sweep])
    withdraw_stops(workspace, [sweep])
    assert not directory.workers.is_stop_requested
