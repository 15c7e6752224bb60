"""`lab sweep`: run, list and price sweeps."""

import json
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from switchhead_lab.cli.match import DeviceOption, SetOption, SizeOption


class _SweepGroup(TyperGroup):
    """Takes `lab sweep NAME` as `lab sweep run NAME`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_SweepGroup,
    no_args_is_help=True,
    help=(
        "Run, list and price sweeps: fair comparisons declared in one file each.\n\n"
        "`lab sweep NAME` is short for `lab sweep run NAME`.\n\n"
        "Example: lab sweep matched-params"
    ),
)
SweepArgument = Annotated[str, typer.Argument(help="Name of a sweep or path to its file.")]


@app.command()
def run(
    sweep: SweepArgument,
    size: SizeOption = "",
    overrides: SetOption = None,
    device: DeviceOption = "",
) -> None:
    """Run a sweep, or what is left of it: baselines, search, and the best candidate's seeds.

    Example: lab sweep run sweeps/matched-params.toml --size demo
    """
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace

    workspace = find_workspace().on_device(device)
    declaration = find_sweep(workspace.sweeps_dir, sweep).resolve(size, overrides or ())
    # Only now what takes a second to import: a mistyped name is told at once.
    from switchhead_lab.sweeping.executor import run_sweep
    from switchhead_lab.tracking.mlflow_index import open_workspace_index
    from switchhead_lab.tracking.sweep_record import sweep_id

    record = run_sweep(
        workspace,
        declaration,
        open_workspace_index(workspace),
        lambda text: typer.secho(text, err=True, bold=True),
    )
    states = [member.state for member in record.members]
    counts = ", ".join(f"{states.count(s)} {s}" for s in sorted(set(states), key=states.index))
    typer.echo(f"sweep {sweep_id(declaration)}: {counts}")
    typer.echo(f"next: lab report {declaration.name} --size {declaration.size}")


@app.command("list")
def list_sweeps(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the sweeps of this workspace: what they compare, what they cost, what has been run.

    MACs are those of all runs, forward and backward; times come from runs that finished here.

    Example: lab sweep list
    """
    from dataclasses import asdict

    from switchhead_lab.cli.tables import print_table
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.overview import sweep_overviews

    overviews = list(sweep_overviews(find_workspace()))
    if as_json:
        typer.echo(json.dumps([asdict(overview) for overview in overviews], indent=2))
        return
    columns = ["sweep", "size", "compares", "table", "models", "runs", "done", "MACs", "time left"]
    print_table(
        "sweeps (* default size)", columns, (o.cells() for o in overviews), n_text_columns=3
    )
    if all(overview.seconds_left is None for overview in overviews):
        typer.echo("times are unknown: no run has finished on this machine yet")


@app.command()
def show(sweep: SweepArgument, size: SizeOption = "", overrides: SetOption = None) -> None:
    """Show what a sweep would run, what of it is done, and about how long the rest takes.

    Nothing is trained. Times come from runs that finished on this machine.

    Example: lab sweep show matched-params --set study.n_trials=4
    """
    from switchhead_lab.cli.tables import print_table
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.estimate import measured_speed
    from switchhead_lab.sweeping.listing import (
        match_cells,
        match_rows,
        part_costs,
        short_count,
        short_time,
    )
    from switchhead_lab.sweeping.plan import all_variants
    from switchhead_lab.tracking.record import list_runs

    workspace = find_workspace()
    declaration = find_sweep(workspace.sweeps_dir, sweep).resolve(size, overrides or ())
    columns, cells = match_cells(match_rows(declaration, all_variants(declaration)))
    print_table(
        f"{declaration.name}, size {declaration.size}: models "
        f"({declaration.convention} convention)",
        columns,
        cells,
        n_text_columns=2,
    )
    runs = list_runs(workspace.runs_dir)
    speed = measured_speed(runs)
    costs = part_costs(declaration, runs, speed)
    print_table(
        f"runs of {declaration.training.n_steps} steps",
        ["model", "runs", "done", "MACs a run", "time a run", "time left"],
        [
            [
                cost.name,
                str(cost.n_runs),
                str(cost.n_done),
                short_count(cost.run_macs),
                short_time(cost.run_seconds),
                short_time(cost.seconds_left),
            ]
            for cost in costs
        ],
    )
    if speed is None:
        typer.echo("times are unknown: no run has finished on this machine yet")
        return
    total = sum(cost.seconds_left or 0.0 for cost in costs)
    typer.echo(
        f"about {short_time(total)} left, search without pruning, validation not counted; "
        f"judged by {speed.n_runs} finished run(s) on this machine"
    )
