"""`lab sweep --on`: workers of a sweep on a cluster."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from switchhead_lab.cli.ending import end_training
from switchhead_lab.cli.ranks import require_one_process
from switchhead_lab.errors import ClusterError, ConfigError
from switchhead_lab.terminal import print_notes, tell

if TYPE_CHECKING:
    from switchhead_lab.config.sweep import Sweep
    from switchhead_lab.config.workspace import Workspace

_PLACES = ("local", "slurm", "ray")


@dataclass(frozen=True)
class Launch:
    """Workers to start on a cluster.

    Attributes:
        place: "slurm" or "ray".
        n_workers: Number of workers.
        changes: Values of `--cluster`.
        is_dry: Whether to only print what would be started.
    """

    place: str
    n_workers: int
    changes: Sequence[str]
    is_dry: bool


def read_launch(
    place: str, n_workers: int, changes: Sequence[str], *, is_dry: bool, local: Sequence[str]
) -> Launch | None:
    """Return the workers to start on a cluster; None for workers on this machine.

    Args:
        place: Value of `--on`.
        n_workers: Value of `--workers`.
        changes: Values of `--cluster`.
        is_dry: Whether `--dry-run` was given.
        local: Options that were given and work on this machine only.

    Raises:
        ConfigError: If the place is unknown, or an option does not go with it.
    """
    from switchhead_lab.config.files import near_miss

    if place not in _PLACES:
        raise ConfigError(
            f'--on "{place}": unknown{near_miss(place, _PLACES)}; use local, slurm or ray'
        )
    if place == "local":
        for option, is_given in (("--cluster", bool(changes)), ("--dry-run", is_dry)):
            if is_given:
                raise ConfigError(f"{option}: only with --on slurm or --on ray; add one of them")
        return None
    for option in local:
        raise ConfigError(
            f"{option}: not with --on {place}; run the sweep with {option} on one machine, or "
            f"leave {option} out"
        )
    return Launch(place, n_workers, changes, is_dry)


def start_workers(
    launch: Launch,
    workspace: "Workspace",
    declarations: "Sequence[Sweep]",
    arguments: Sequence[str],
) -> None:
    """Start workers on a cluster and print what comes next.

    Args:
        launch: The workers.
        workspace: The workspace, on the workers' device.
        declarations: The sweep's sizes.
        arguments: Arguments of `lab` for a worker; the second is the sweep.

    Raises:
        ClusterError: If the cluster or its package is missing, or refuses the workers.
        ConfigError: If the cluster's settings are not valid.
        RecordError: If the sweep is being stopped.
    """
    require_one_process("--on")
    if launch.place == "slurm":
        _submit_jobs(launch, workspace, declarations, arguments)
    else:
        _run_tasks(launch, workspace, declarations, arguments)


def _submit_jobs(
    launch: Launch,
    workspace: "Workspace",
    declarations: "Sequence[Sweep]",
    arguments: Sequence[str],
) -> None:
    """Submit workers to Slurm; they wait in its queue when this process has ended."""
    from switchhead_lab.sweeping import slurm_workers
    from switchhead_lab.sweeping.launching import with_changes, withdraw_stops, worker_on_cluster

    sweep = arguments[1]
    values = workspace.settings
    settings = with_changes(values.slurm, launch.changes, values.device)
    name = "lab-" + re.sub(r"[^\w.-]+", "-", sweep.removesuffix(".toml")).strip("-")
    folder = workspace.root / "slurm" / name.removeprefix("lab-")
    if launch.is_dry:
        typer.echo(slurm_workers.script(launch.n_workers, settings, folder, name))
        return
    withdraw_stops(workspace, declarations)
    worker = worker_on_cluster(workspace, arguments, settings)
    jobs = slurm_workers.submit(worker, launch.n_workers, settings, folder, name)
    job_id = slurm_workers.describe_jobs(jobs)
    number = "1 worker" if len(jobs) == 1 else f"{len(jobs)} workers"
    print_notes(
        [
            f"submitted {number} to Slurm: job {job_id}; their output is in {folder}",
            f"watch them with `{_given(arguments, 'status')}`; `{_given(arguments, 'stop')}` ends "
            f"them, `scancel {job_id}` those that still wait",
            f"once they have ended, `{_given(arguments)}` evaluates their runs and attaches the "
            "report",
        ]
    )


def _run_tasks(
    launch: Launch,
    workspace: "Workspace",
    declarations: "Sequence[Sweep]",
    arguments: Sequence[str],
) -> None:
    """Run workers on a Ray cluster and wait for them; Ray ends tasks with their driver."""
    from switchhead_lab.sweeping import ray_workers
    from switchhead_lab.sweeping.launching import with_changes, withdraw_stops, worker_on_cluster
    from switchhead_lab.tracking.sweep_record import describe_failures
    from switchhead_lab.tracking.sweep_store import open_sweep

    n_workers = launch.n_workers
    values = workspace.settings
    settings = with_changes(values.ray, launch.changes, values.device)
    worker = worker_on_cluster(workspace, arguments, settings)
    if launch.is_dry:
        typer.echo(
            f"{n_workers} tasks on the Ray cluster at {settings.address}, each with "
            f"{ray_workers.describe_resources(settings)}:\nlab {' '.join(worker.arguments)}"
        )
        return
    withdraw_stops(workspace, declarations)
    n_errors = ray_workers.train_on_ray(
        worker, n_workers, settings, lambda text: tell(text, "bold")
    )
    if n_errors:
        raise ClusterError(
            f"{n_errors} of {n_workers} workers ended with an error, printed above; "
            f"`{_given(arguments, 'status')}` shows what is done, the same command continues"
        )
    print_notes([f"`{_given(arguments)}` evaluates the runs and attaches the report"])
    records = [open_sweep(workspace, one).read_known() for one in declarations]
    failures = [describe_failures(record) for record in records if record is not None]
    end_training(workspace, "\n".join(filter(None, failures)))


def _given(arguments: Sequence[str], verb: str = "") -> str:
    """Return a command about the sweep as it was given: to run it, or with a verb.

    Args:
        arguments: Arguments of `lab` for a worker.
        verb: "status" or "stop", which take the sweep alone.
    """
    words = [verb, arguments[1]] if verb else arguments[1:]
    return shlex.join(["lab", "sweep", *words])
