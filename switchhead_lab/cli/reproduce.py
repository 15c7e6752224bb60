"""`lab reproduce`: training a recorded run again and comparing the losses."""

from typing import Annotated

import typer

from switchhead_lab.cli.options import DeviceOption, JsonOption
from switchhead_lab.cli.other_hosts import bring
from switchhead_lab.json_text import to_json

_EXIT_DIFFERENT = 1


def reproduce(
    run: Annotated[str, typer.Argument(help="Name of a run, or the start of its hash.")],
    steps: Annotated[
        int,
        typer.Option(
            "--steps", min=0, help="Compare the first steps only; 0 for all that are recorded."
        ),
    ] = 0,
    device: DeviceOption = "",
    trust_plugins: Annotated[
        bool,
        typer.Option("--trust-plugins", help="Run the copies of plugins of an imported run."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a recorded run again in a scratch folder, and compare every recorded loss.

    Prints "identical", or the first step that differs with both values, and what has changed since:
    code, versions, device, threads, data. The run's record and MLflow are not touched. It trains on
    the device of the record unless --device names another.

    Exit codes: 0 identical, 1 different, 2 a mistake that you can fix.

    Example: lab reproduce 3fb2c1 --steps 20
    """
    from switchhead_lab.config.workspace import find_workspace

    workspace = find_workspace().on_device(device)
    # Deferred: slow imports, so a mistake in lab.toml fails fast.
    from switchhead_lab.upkeep.recorded_run import open_recorded
    from switchhead_lab.upkeep.reproduction import recorded_points
    from switchhead_lab.upkeep.reproduction import reproduce as reproduce_run
    from switchhead_lab.views.reproduce import reproduction_as_data, reproduction_lines

    bring(workspace, run)
    opened = open_recorded(workspace.runs_dir, run, trusts_plugins=trust_plugins)
    if opened.record.config.initial_weights is not None:
        bring(workspace, opened.record.config.initial_weights.run, weights=True)
    points = recorded_points(opened.record, steps or None)
    found = reproduce_run(workspace, opened, points, device)
    if as_json:
        typer.echo(to_json(reproduction_as_data(found)))
    else:
        for line in reproduction_lines(found):
            typer.echo(line)
    if not found.is_identical:
        raise typer.Exit(_EXIT_DIFFERENT)
