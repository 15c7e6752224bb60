"""What workers on any cluster need: settings with overrides, an environment, no stop request."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from switchhead_lab.config.clusters import RaySettings, SlurmSettings
from switchhead_lab.config.files import apply_overrides, parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.sweeping.cluster_worker import ClusterWorker
from switchhead_lab.sweeping.local_workers import Share, deal_shares
from switchhead_lab.tracking.sweep_store import open_sweep

OPTION = "--cluster"
SettingsT = TypeVar("SettingsT", SlurmSettings, RaySettings)


def with_changes(settings: SettingsT, changes: Sequence[str], device: str) -> SettingsT:
    """Return a cluster's settings with the values of `--cluster`.

    Args:
        settings: The table of lab.toml.
        changes: Assignments KEY=VALUE.
        device: The device that workers train on.

    Raises:
        ConfigError: If a key is unknown, a value is not valid, or the device needs a GPU and
            workers get none.
    """
    schema = type(settings)
    tree = apply_overrides(settings.model_dump(), changes, schema, OPTION)
    found = parse(schema, tree, OPTION) if changes else settings
    if device == "cuda" and not found.gpus_per_worker:
        raise ConfigError(
            'device "cuda", but gpus_per_worker = 0, so workers get no GPU; set gpus_per_worker in '
            f"lab.toml, or give {OPTION} gpus_per_worker=1"
        )
    return found


def worker_on_cluster(
    workspace: Workspace, arguments: Sequence[str], settings: SlurmSettings | RaySettings
) -> ClusterWorker:
    """Return a worker that runs in this folder and workspace, with the settings' threads.

    Args:
        workspace: The workspace.
        arguments: Arguments of `lab`.
        settings: The cluster's settings.
    """
    return ClusterWorker(
        (*arguments, "--unless-stopped"),
        Path.cwd(),
        {"LAB_HOME": str(workspace.root), **_share(settings, os.environ).environment()},
    )


def _share(settings: SlurmSettings | RaySettings, environment: Mapping[str, str]) -> Share:
    (share,) = deal_shares(1, settings.cpus_per_worker, [], environment)
    return Share(share.n_threads, gpu_share=settings.gpus_per_worker or 1.0)


def withdraw_stops(workspace: Workspace, declarations: Sequence[Sweep]) -> None:
    """Withdraw earlier requests to stop, so that new workers start.

    Raises:
        RecordError: If a sweep is being stopped.
    """
    for declaration in declarations:
        directory = open_sweep(workspace, declaration)
        with directory.locked():
            if not directory.workers.is_stop_requested:
                continue
            if directory.workers.alive():
                raise RecordError(
                    f"sweep {declaration.name} is being stopped; start workers again once "
                    "`lab sweep status` lists none"
                )
            directory.workers.withdraw_stop()
