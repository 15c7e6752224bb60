"""`lab sweep`: run sweeps, list them and estimate their cost."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from switchhead_lab.cli.ending import end_training
from switchhead_lab.cli.options import (
    DeviceOption,
    DriftOption,
    JsonOption,
    ReuseOption,
    SetOption,
    SizeOption,
    SweepArgument,
)
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import print_table, tell


class _SweepGroup(TyperGroup):
    """Interprets `lab sweep NAME` as `lab sweep run NAME`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_SweepGroup,
    no_args_is_help=True,
    help=(
        "Run and list sweeps and estimate their cost; a sweep is a comparison in one file.\n\n"
        "`lab sweep NAME` is short for `lab sweep run NAME`.\n\n"
        "Example: lab sweep matched-params"
    ),
)


@app.command()
def run(
    sweep: SweepArgument,
    size: SizeOption = "",
    overrides: SetOption = None,
    device: DeviceOption = "",
    allow_drift: DriftOption = False,
    reuse: ReuseOption = False,
    retrain: Annotated[
        list[str] | None,
        typer.Option(
            "--retrain",
            metavar="WHICH",
            help="Retrain runs: changed (those whose code has changed), all, or a model's name; "
            "repeatable. Earlier runs are kept in runs/superseded/.",
        ),
    ] = None,
) -> None:
    """Run or continue a sweep: declared models, searches, and all seeds of the best candidates.

    Finished runs are reused. If their code has changed since, the sweep stops before it trains
    anything, unless --retrain or --reuse says what to do.

    Exit codes: 1 if a run failed (the causes are printed), 3 if a run is missing from MLflow,
    128 + N after signal N.

    Example: lab sweep run sweeps/matched-params.toml --size demo
    """
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace

    workspace = find_workspace().on_device(device)
    declaration = find_sweep(workspace.sweeps_dir, sweep).resolve(size, overrides or ())
    # Deferred: slow imports, so a mistyped name fails fast.
    from switchhead_lab.sweeping.executor import run_sweep
    from switchhead_lab.tracking.mlflow_index import open_workspace_index
    from switchhead_lab.tracking.sweep_record import describe_failures
    from switchhead_lab.training.change_policy import ChangePolicy
    from switchhead_lab.views.sweep import outcome_lines

    record = run_sweep(
        workspace,
        declaration,
        open_workspace_index(workspace),
        lambda text: tell(text, "bold"),
        policy=ChangePolicy(allow_drift, reuse, tuple(retrain or ())),
    )
    for line in outcome_lines(declaration, record):
        typer.echo(line)
    end_training(workspace.runs_dir, describe_failures(record))


@app.command("list")
def list_sweeps(as_json: JsonOption = False) -> None:
    """List the sweeps of this workspace: what they compare, what they cost, what has been run.

    "table" is the paper's table, with data set and size of its rows; "done" is the number of
    finished or pruned runs out of all. MACs are of all runs, forward and backward. CPU h and GPU h
    are hours of all runs, estimated from finished runs on such a device; "left" is the estimated
    remaining time on this machine.

    Example: lab sweep list
    """
    from dataclasses import asdict

    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.estimate import measured_speeds
    from switchhead_lab.sweeping.overview import sweep_overviews
    from switchhead_lab.tracking.record import list_runs
    from switchhead_lab.views.sweep import basis_of_estimates, overview_table

    workspace = find_workspace()
    runs = list_runs(workspace.runs_dir)
    speeds = measured_speeds(runs)
    overviews = list(sweep_overviews(workspace, runs, speeds))
    if as_json:
        typer.echo(to_json([asdict(overview) for overview in overviews]))
        return
    print_table(overview_table(overviews))
    for line in basis_of_estimates(speeds):
        typer.echo(line)


@app.command()
def show(
    sweeps: Annotated[list[str], typer.Argument(help="Names of sweeps or paths to their files.")],
    size: SizeOption = "",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what sweeps would run, what is done, and an estimate of the remaining time.

    Nothing is trained. CPU h and GPU h are hours of all runs of a model, estimated from finished
    runs on such a device; other times are for this machine. --size and --set apply to all sweeps.

    Example: lab sweep show matched-params paper/table2-c4 --set training.n_steps=500
    """
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.estimate import measured_speeds
    from switchhead_lab.sweeping.overview import sweep_detail
    from switchhead_lab.tracking.record import list_runs
    from switchhead_lab.views import sweep as views
    from switchhead_lab.views.match import match_lines

    workspace = find_workspace()
    declarations = [
        find_sweep(workspace.sweeps_dir, name).resolve(size, overrides or ()) for name in sweeps
    ]
    runs = list_runs(workspace.runs_dir)
    speeds = measured_speeds(runs)
    details = [sweep_detail(declaration, runs, speeds) for declaration in declarations]
    if as_json:
        typer.echo(to_json([detail.plain() for detail in details]))
        return
    for detail in details:
        for table in views.model_tables(detail):
            print_table(table)
        for line in match_lines(detail.models):
            typer.echo(line)
        print_table(views.cost_table(detail))
        for line in views.time_left_lines(detail):
            typer.echo(line)
    for line in views.basis_of_estimates(speeds):
        typer.echo(line)
