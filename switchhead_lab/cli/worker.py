"""`lab worker`: one more process that shares the runs of a sweep."""

from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.ending import end_training
from switchhead_lab.cli.options import (
    DeviceOption,
    DriftOption,
    ReuseOption,
    SetOption,
    SizeOption,
    SweepArgument,
)
from switchhead_lab.cli.other_hosts import fetcher_of
from switchhead_lab.terminal import tell

if TYPE_CHECKING:
    from switchhead_lab.config.sweep import Sweep
    from switchhead_lab.config.workspace import Workspace


UnlessStoppedOption = Annotated[
    bool,
    typer.Option(
        "--unless-stopped",
        help="End at once if the sweep was stopped meanwhile; for jobs that wait in a queue.",
    ),
]


def worker(
    sweep: SweepArgument,
    size: SizeOption = "",
    overrides: SetOption = None,
    device: DeviceOption = "",
    allow_drift: DriftOption = False,
    reuse: ReuseOption = False,
    unless_stopped: UnlessStoppedOption = False,
) -> None:
    """Share the runs of a sweep with its other workers, until none is left.

    Start as many as you like, on one machine or on several that share the workspace's disk: each
    takes runs that no other one trains, and goes on from the last checkpoint where one was killed.
    `lab sweep NAME` is a worker too, which also evaluates and attaches the report;
    `lab sweep NAME --workers N` starts several, on this machine or with --on on a cluster.

    All workers need the same code, versions, device, data and declaration, unless --allow-drift is
    given; `lab sweep status NAME` lists them, `lab sweep stop NAME` ends them.

    Exit codes: as of `lab sweep`.

    Example: lab worker matched-params --size demo
    """
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace

    workspace = find_workspace().on_device(device)
    declarations = find_sweep(workspace.sweeps_dir, sweep).resolve_all(size, overrides or ())
    if unless_stopped:
        declarations = [one for one in declarations if not _is_stopped(workspace, one)]
        if not declarations:
            return
    # Deferred: slow imports, so a mistyped name fails fast.
    from switchhead_lab.sweeping.deciding import with_added_seeds
    from switchhead_lab.sweeping.executor import run_sweep
    from switchhead_lab.sweeping.local_workers import limit_gpu_memory
    from switchhead_lab.tracking.mlflow_index import open_workspace_index
    from switchhead_lab.tracking.sweep_record import describe_failures
    from switchhead_lab.tracking.sweep_store import open_sweep
    from switchhead_lab.training.change_policy import ChangePolicy

    limit_gpu_memory()
    index = open_workspace_index(workspace)
    policy, fetcher = ChangePolicy(allow_drift, reuse), fetcher_of(workspace)
    records = [
        run_sweep(
            workspace,
            with_added_seeds(declaration, open_sweep(workspace, declaration)),
            index,
            lambda text: tell(text, "bold"),
            policy=policy,
            fetcher=fetcher,
        )
        for declaration in declarations
    ]
    end_training(workspace, "\n".join(filter(None, map(describe_failures, records))))


def _is_stopped(workspace: "Workspace", declaration: "Sweep") -> bool:
    """Return whether a sweep was asked to stop, and say so."""
    from switchhead_lab.sweeping.heartbeat import STOPPED
    from switchhead_lab.tracking.sweep_store import open_sweep

    is_stopped = open_sweep(workspace, declaration).workers.is_stop_requested
    if is_stopped:
        tell(f"{declaration.name}: {STOPPED}", "yellow")
    return is_stopped
