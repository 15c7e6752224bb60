"""Workers of a sweep as tasks of a Ray cluster: one `lab worker` per task.

A task whose node dies is started again on another one; the run that it trained is continued by
whichever worker is free first.
"""

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from switchhead_lab.config.clusters import RaySettings
from switchhead_lab.errors import ClusterError, reason_of
from switchhead_lab.sweeping.cluster_worker import ClusterWorker
from switchhead_lab.sweeping.jobs import Say
from switchhead_lab.tracking.interruption import interruption

_N_RESTARTS = 20  # of a task whose node dies
_POLL_SECONDS = 1.0
_DONE = (0, 1, 3)  # failed runs, and those that MLflow lacks, are in the records
_END_SECONDS = 600.0
_ANSWER_SECONDS = 10.0
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}


def resources_of(settings: RaySettings) -> dict[str, float]:
    """Return what a worker needs, by Ray's names of resources."""
    found = {"CPU": float(settings.cpus_per_worker), "GPU": settings.gpus_per_worker}
    return {name: n for name, n in {**found, **settings.resources}.items() if n > 0}


def n_places(nodes: Sequence[Mapping[str, float]], wanted: Mapping[str, float]) -> int:
    """Return how many workers fit into a cluster at the same time.

    Args:
        nodes: Resources of each node.
        wanted: Resources of a worker, as `resources_of` returns them.
    """
    # Ray counts in steps of 1e-4; 1e-9 keeps 0.3 / 0.1 at 3.
    return sum(
        min(int(node.get(name, 0.0) / amount + 1e-9) for name, amount in wanted.items())
        for node in nodes
    )


def describe_resources(settings: RaySettings) -> str:
    """Return what a worker needs, such as "4 CPU, 1 GPU"."""
    return ", ".join(f"{amount:g} {name}" for name, amount in resources_of(settings).items())


def train_on_ray(worker: ClusterWorker, n_workers: int, settings: RaySettings, say: Say) -> int:
    """Run workers as tasks of a Ray cluster, and wait for their end.

    Their lines are printed as Ray relays them. If a signal ends the wait, the workers save a
    checkpoint and end.

    Args:
        worker: What each task runs.
        n_workers: Number of tasks.
        settings: The cluster and the resources of each.
        say: Called with one line per event.

    Returns:
        How many workers ended with an error.

    Raises:
        ClusterError: If Ray is missing, the cluster does not answer or no node has the resources.
    """
    ray = _connect(settings)
    try:
        _require_room(ray, n_workers, settings, say)
        start = ray.remote(
            num_cpus=settings.cpus_per_worker,
            num_gpus=settings.gpus_per_worker,
            resources=dict(settings.resources),
            max_calls=1,  # a process of its own: the worker sets signals, threads and device
            max_retries=_N_RESTARTS,
            scheduling_strategy="SPREAD",
        )
        task = start(lab_worker)
        tasks = [task.remote(worker) for _ in range(n_workers)]
        try:
            return sum(_wait(ray, tasks, say))
        except KeyboardInterrupt:
            say("waiting for the workers' checkpoints")
            for one in tasks:
                ray.cancel(one)
            ray.wait(tasks, num_returns=len(tasks), timeout=_END_SECONDS)
            raise
    finally:
        ray.shutdown()


def lab_worker(worker: ClusterWorker) -> int:
    """Run a worker in a process of Ray."""
    return worker.run()


def _wait(ray: Any, tasks: list[Any], say: Say) -> list[bool]:
    """Wait for tasks and report how they end; return which of them ended with an error."""
    failures: list[bool] = []
    waiting = list(tasks)
    while waiting:
        ended, waiting = ray.wait(waiting, timeout=_POLL_SECONDS)
        for one in ended:
            try:
                code = ray.get(one)
            except ray.exceptions.RayError as error:
                say(f"a worker was lost: {reason_of(error)}")
                failures.append(True)
            else:
                if code not in _DONE:
                    say(f"a worker ended with exit code {code}")
                failures.append(code not in _DONE)
    return failures


def _require_room(ray: Any, n_workers: int, settings: RaySettings, say: Say) -> None:
    """Check that workers can start.

    Raises:
        ClusterError: If no node has the resources of one worker.
    """
    wanted = resources_of(settings)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    found = n_places(nodes, wanted)
    text = describe_resources(settings)
    if not found:
        raise ClusterError(
            f"--on ray: no node of the cluster has {text} for a worker; change [ray] in lab.toml, "
            "or a value of it with --cluster KEY=VALUE"
        )
    if found < n_workers:
        say(f"{n_workers} workers, of which the cluster has room for {found} ({text} each)")


def _connect(settings: RaySettings) -> Any:
    """Import Ray and connect to its cluster.

    Raises:
        ClusterError: If it is not installed, or the cluster does not answer.
    """
    os.environ.update(_QUIET)
    try:
        import ray
    except ModuleNotFoundError:
        raise ClusterError(
            "--on ray needs the package ray, which is not installed; install the extra: "
            'pip install "switchhead_lab[ray]"'
        ) from None
    try:
        _require_answer(settings.address)
        ray.init(settings.address, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"--on ray: no cluster answers at {settings.address}: {reason_of(error)}; start one "
            "with `ray start --head`, or set address in [ray] of lab.toml"
        ) from None
    interruption.install()  # ray.init replaces the handler of SIGTERM
    return ray


def _require_answer(address: str) -> None:
    """Check that something listens at an address: Ray itself tries for minutes.

    Raises:
        OSError: If nothing does.
    """
    host, separator, port = address.rpartition(":")
    if separator:
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
