"""Workers of a sweep as jobs of Slurm, submitted through submitit: one `lab worker` per job.

Slurm warns a job with SIGUSR1 before its time limit. Then, or when Slurm pre-empts it, the worker
saves a checkpoint, gives its run back to the sweep and has its job requeued.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from switchhead_lab.config.clusters import SlurmSettings
from switchhead_lab.errors import ClusterError, reason_of
from switchhead_lab.sweeping.cluster_worker import ClusterWorker

if TYPE_CHECKING:
    from submitit import Job
    from submitit.helpers import DelayedSubmission

_SIGNAL = "USR1"
_SIGNAL_VARIABLE = "SUBMITIT_PREEMPT_SIGNAL"
# Timeouts are what requeueing is for; submitit gives up after three by default.
_MOST_TIMEOUTS = 1_000_000
_SQUEUE_SECONDS = 30.0


@dataclass(frozen=True)
class SlurmWorker:
    """The function of a job; submitit stores it and calls it on the node.

    Attributes:
        worker: The worker.
    """

    worker: ClusterWorker

    def __call__(self) -> int:
        """Run the worker; have the job requeued if it was warned or pre-empted.

        Raises:
            SystemExit: With the worker's exit code unless it is 0, so that Slurm records it; or
                after the job was requeued.
        """
        requeue = signal.getsignal(signal.SIGUSR1)  # submitit's, before the worker replaces it
        code = self.worker.run()
        is_warned = code == 128 + signal.SIGUSR1
        if is_warned or (code == 128 + signal.SIGTERM and _is_running()):
            assert callable(requeue), "submitit handles the signal"
            requeue(signal.SIGUSR1, None)
        if code:
            sys.exit(code)
        return code

    def checkpoint(self) -> "DelayedSubmission":
        """Return what the requeued job runs: the same, because the sweep's record is the queue."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit(
    worker: ClusterWorker,
    n_workers: int,
    settings: SlurmSettings,
    folder: Path,
    name: str,
    *,
    cluster: str = "slurm",
) -> "list[Job[int]]":
    """Submit workers, as one array job if there are several.

    Args:
        worker: What each runs.
        n_workers: Number of jobs.
        settings: Resources and limits of each.
        folder: Folder of their logs and scripts, on a disk that the machines share.
        name: Name of the job.
        cluster: Executor of submitit; others than "slurm" run jobs on this machine, for tests.

    Raises:
        ClusterError: If submitit or Slurm is missing, or Slurm refuses the jobs.
    """
    submitit = _load_submitit()
    if cluster == "slurm" and not all(map(shutil.which, ("sbatch", "srun"))):
        raise ClusterError(
            "--on slurm: sbatch and srun are not on the PATH of this machine; run the command on a "
            "login node of a Slurm cluster, or leave --on out to start workers on this machine"
        )
    executor = submitit.AutoExecutor(folder, cluster, slurm_max_num_timeout=_MOST_TIMEOUTS)
    values = _parameters(settings, name)
    minutes = values.pop("time")
    options = {f"slurm_{key}": value for key, value in values.items()}
    executor.update_parameters(timeout_min=minutes, stderr_to_stdout=True, **options)
    try:
        with executor.batch():
            return [executor.submit(SlurmWorker(worker)) for _ in range(n_workers)]
    except (submitit.core.utils.FailedJobError, OSError, subprocess.SubprocessError) as error:
        raise ClusterError(
            f"--on slurm: sbatch refused the jobs: {reason_of(error)}; change [slurm] in lab.toml, "
            "or a value of it with --cluster KEY=VALUE"
        ) from None


def script(n_workers: int, settings: SlurmSettings, folder: Path, name: str) -> str:
    """Return the script that `submit` gives to sbatch; Slurm need not be installed.

    Raises:
        ClusterError: If submitit is missing.
    """
    _load_submitit()
    from submitit.slurm.slurm import _make_sbatch_string

    command = (
        f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    )
    return _make_sbatch_string(
        command,
        folder,
        stderr_to_stdout=True,
        map_count=n_workers if n_workers > 1 else None,
        **_parameters(settings, name),
    )


def _parameters(settings: SlurmSettings, name: str) -> dict[str, Any]:
    """Return the settings as submitit names them."""
    further = {key: value for key, value in settings.options.items() if value is not False}
    found: dict[str, Any] = {
        "time": settings.minutes,
        "cpus_per_task": settings.cpus_per_worker,
        "job_name": name,
        "setup": [f"export {_SIGNAL_VARIABLE}={_SIGNAL}", *settings.setup],
        # Since 22.05, srun does not inherit it from sbatch.
        "srun_args": [f"--cpus-per-task={settings.cpus_per_worker}"],
        "additional_parameters": {
            "signal": f"{_SIGNAL}@{settings.warning_seconds}",
            "requeue": True,
            **further,
        },
    }
    if settings.gpus_per_worker:
        found["gpus_per_node"] = settings.gpus_per_worker
    for key, value in (("partition", settings.partition), ("account", settings.account)):
        if value:
            found[key] = value
    return found


def _load_submitit() -> Any:
    """Import submitit, for the signal that workers expect.

    Raises:
        ClusterError: If it is not installed.
    """
    os.environ[_SIGNAL_VARIABLE] = _SIGNAL
    try:
        import submitit
    except ModuleNotFoundError:
        raise ClusterError(
            "--on slurm needs the package submitit, which is not installed; install the extra: "
            'pip install "switchhead_lab[slurm]"'
        ) from None
    return submitit


def _is_running() -> bool:
    """Return whether Slurm still runs this job: it was pre-empted, not cancelled."""
    job = os.environ.get("SLURM_JOB_ID", "")
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_SQUEUE_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.stdout.strip() == "RUNNING"


def describe_jobs(jobs: "Sequence[Job[int]]") -> str:
    """Return the ids of jobs, as scancel takes them: that of an array once."""
    return " ".join(sorted({job.job_id.partition("_")[0] for job in jobs}))
