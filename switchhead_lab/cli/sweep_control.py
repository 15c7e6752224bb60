"""`lab sweep status`, `stop`, `resume` and `retry`: a sweep while it runs."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.options import (
    JsonOption,
    SetOption,
    SizeOption,
    SweepArgument,
)
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import print_notes, tell
from switchhead_lab.terminal_table import print_table

if TYPE_CHECKING:
    from switchhead_lab.config.sweep import Sweep
    from switchhead_lab.tracking.sweep_dir import SweepDir

_WATCH_SECONDS = 2.0
_CLEAR = "\x1b[2J\x1b[H"


def status(
    sweep: SweepArgument,
    size: SizeOption = "",
    overrides: SetOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Print it again every 2 s.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how far a sweep is: runs done, workers, time left, failures by cause, the best so far.

    Example: lab sweep status matched-params --watch
    """
    while True:
        if watch and not as_json:
            typer.echo(_CLEAR, nl=False)
        _print_status(sweep, size, overrides or (), as_json=as_json)
        if not watch:
            return
        time.sleep(_WATCH_SECONDS)


def _print_status(sweep: str, size: str, overrides: Sequence[str], *, as_json: bool) -> None:
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.estimate import measured_speeds
    from switchhead_lab.sweeping.status import sweep_status
    from switchhead_lab.tracking.record import list_runs
    from switchhead_lab.views import sweep_status as views

    workspace = find_workspace()
    runs = list_runs(workspace.runs_dir)
    speeds = measured_speeds(runs)
    found = [
        sweep_status(declared, directory, runs, speeds)
        for declared, directory in _directories(sweep, size, overrides)
    ]
    if as_json:
        typer.echo(to_json([views.plain_status(one) for one in found]))
        return
    for one in found:
        print_table(views.status_table(one))
        if one.workers:
            print_table(views.worker_table(one))
        print_notes(views.status_lines(one, workspace.sweeps_dir))


def stop(sweep: SweepArgument, size: SizeOption = "", overrides: SetOption = None) -> None:
    """Ask all workers of a sweep to save a checkpoint and end, on every machine, and wait for it.

    `lab sweep resume` continues the sweep.

    Example: lab sweep stop matched-params --size demo
    """
    asked = []
    for _, directory in _directories(sweep, size, overrides or ()):
        with directory.locked():
            if alive := directory.workers.alive():
                directory.workers.request_stop()
                asked.append((directory, len(alive)))
    if not asked:
        typer.echo(f"no worker is running {sweep}")
        return
    for directory, number in asked:
        workers = "1 worker" if number == 1 else f"{number} workers"
        tell(f"{directory.path.name}: asked {workers} to end; waiting for their checkpoints")
        while directory.workers.alive():
            time.sleep(0.5)
    typer.echo(f"stopped; `lab sweep resume {sweep}` continues")


def retry(
    sweep: SweepArgument,
    failed: Annotated[
        bool, typer.Option("--failed", help="Retry the failed runs; it must be given.")
    ] = False,
    cause: Annotated[
        str, typer.Option("--cause", help='Only those that failed for a cause, e.g. "non-finite".')
    ] = "",
    size: SizeOption = "",
    overrides: SetOption = None,
) -> None:
    """Put failed runs of a sweep back into its queue, from their last checkpoints.

    Live workers take them up; otherwise start the sweep again. Failed candidates of a search are
    results of the search and stay; `lab sweep NAME --retrain MODEL` starts the search over.

    Example: lab sweep retry matched-params --failed --cause "out of memory"
    """
    from typing import get_args

    from switchhead_lab.config.files import near_miss
    from switchhead_lab.errors import ConfigError, FailureCause
    from switchhead_lab.sweeping.requeue import requeue_failed

    causes = [one for one in get_args(FailureCause) if one]
    if not failed:
        raise ConfigError("lab sweep retry: say which runs to retry: --failed")
    if cause and cause not in causes:
        hint = near_miss(cause, causes)
        raise ConfigError(f'--cause "{cause}": unknown{hint}; use one of {", ".join(causes)}')
    n_queued = n_alive = 0
    for _, directory in _directories(sweep, size, overrides or ()):
        n_queued += requeue_failed(directory, cause)
        n_alive += len(directory.workers.alive())
    runs = "1 run is" if n_queued == 1 else f"{n_queued} runs are"
    following = "" if n_alive or not n_queued else f"; next: lab sweep resume {sweep}"
    typer.echo(f"{runs} back in the queue{following}")


def _directories(sweep: str, size: str, overrides: Sequence[str]) -> "list[tuple[Sweep, SweepDir]]":
    """Return the declarations of a sweep's sizes and their directories."""
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.tracking.sweep_store import open_sweep

    workspace = find_workspace()
    declarations = find_sweep(workspace.sweeps_dir, sweep).resolve_all(size, overrides)
    return [(one, open_sweep(workspace, one)) for one in declarations]
