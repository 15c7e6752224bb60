"""`lab sweep`: run sweeps, list them and estimate their cost."""

import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli import sweep_control
from switchhead_lab.cli.ending import end_training
from switchhead_lab.cli.launching import read_launch, start_workers
from switchhead_lab.cli.options import (
    ClusterOption,
    DeviceOption,
    DriftOption,
    DryRunOption,
    JsonOption,
    OnOption,
    ReuseOption,
    SetOption,
    SizeOption,
    SweepArgument,
    WorkersOption,
)
from switchhead_lab.cli.other_hosts import bring_for_claims, fetcher_of
from switchhead_lab.cli.ranks import require_one_process
from switchhead_lab.cli.short_groups import RunByDefault
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import print_notes, tell
from switchhead_lab.terminal_table import print_table

if TYPE_CHECKING:
    from switchhead_lab.claims.state import ClaimState
    from switchhead_lab.config.sweep import Sweep
    from switchhead_lab.config.workspace import Workspace
    from switchhead_lab.sweeping.local_workers import Share
    from switchhead_lab.tracking.mlflow_index import Index
    from switchhead_lab.tracking.sweep_record import SweepRecord
    from switchhead_lab.training.change_policy import ChangePolicy


app = typer.Typer(
    cls=RunByDefault,
    no_args_is_help=True,
    help=(
        "Run and list sweeps and estimate their cost; a sweep is a comparison in one file.\n\n"
        "`lab sweep NAME` is short for `lab sweep run NAME`.\n\n"
        "Example: lab sweep matched-params"
    ),
)

RetrainOption = Annotated[
    list[str] | None,
    typer.Option(
        "--retrain",
        metavar="WHICH",
        help="Retrain runs: changed (those whose code has changed), all, or a model's name. "
        "Earlier runs are kept in runs/superseded/.",
    ),
]


@app.command()
def run(
    sweep: SweepArgument,
    size: SizeOption = "",
    overrides: SetOption = None,
    device: DeviceOption = "",
    allow_drift: DriftOption = False,
    reuse: ReuseOption = False,
    retrain: RetrainOption = None,
    until_decided: Annotated[
        bool,
        typer.Option("--until-decided", help="Add seeds in pairs until every claim is decided."),
    ] = False,
    workers: WorkersOption = 1,
    on: OnOption = "local",
    cluster: ClusterOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Run or continue a sweep: declared models, searches, and all seeds of the best candidates.

    If it states claims, --until-decided adds seeds, for the cheapest undecided claim first, until
    each is supported or refuted or has used max_seeds. Verdicts allow for the number of looks.

    If it has an evaluation, finished runs are evaluated, new seeds before each look at claims.

    A file with a ladder runs each of its sizes in turn; --size runs one.

    Finished runs are reused. If their code has changed since, the sweep stops before it trains
    anything, unless --retrain or --reuse says what to do.

    Several processes may run the same sweep and share its runs: see `lab worker --help`. --workers
    starts them here and divides cores or GPUs among them; with --on slurm it submits each as a job,
    with --on ray it runs each as a task.

    Exit codes: 1 if a run failed (the causes are printed), 3 if a run is missing from MLflow,
    128 + N after signal N.

    Example: lab sweep run sweeps/matched-params.toml --size demo

    Example: lab sweep matched-params --workers 8 --on slurm --cluster time=04:00:00
    """
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace

    workspace = find_workspace().on_device(device)
    declarations = find_sweep(workspace.sweeps_dir, sweep).resolve_all(size, overrides or ())
    _require_decidable(declarations, until_decided=until_decided)
    local = [*["--retrain"] * bool(retrain), *["--until-decided"] * until_decided]
    launch = read_launch(on, workers, cluster or (), is_dry=dry_run, local=local)
    # Deferred: slow imports, so a mistyped name fails fast.
    from switchhead_lab.sweeping.local_workers import worker_arguments
    from switchhead_lab.training.change_policy import ChangePolicy

    policy = ChangePolicy(allow_drift, reuse, tuple(retrain or ()))
    if launch is not None:
        arguments = worker_arguments(sweep, size, overrides or (), device, policy)
        start_workers(launch, workspace, declarations, arguments)
        return
    further = _further_workers(workspace, sweep, overrides or (), device, workers)
    failures = _train_all(workspace, declarations, policy, further, until_decided=until_decided)
    end_training(workspace, "\n".join(filter(None, failures)))


def _require_decidable(declarations: "Sequence[Sweep]", *, until_decided: bool) -> None:
    """Check before hours of training that claims and evaluations can be carried out.

    Raises:
        ConfigError: If a sweep without claims is to be decided, or a task is unknown.
    """
    from switchhead_lab.errors import ConfigError

    if until_decided and not all(one.claims for one in declarations):
        raise ConfigError(
            f"--until-decided: sweep {declarations[0].name} states no claims; add [[claims]] to it"
        )


@dataclass(frozen=True)
class _FurtherWorkers:
    """Workers beside this process, from the options of the command."""

    sweep: str
    overrides: Sequence[str]
    device: str
    shares: "Sequence[Share]"

    def beside(self, declaration: "Sweep", policy: "ChangePolicy") -> AbstractContextManager[None]:
        """Run the workers in a block."""
        from switchhead_lab.sweeping.local_workers import beside, worker_arguments, worker_command

        size, overrides = declaration.size, self.overrides
        arguments = worker_arguments(self.sweep, size, overrides, self.device, policy)
        return beside(worker_command(arguments), self.shares, tell)


def _further_workers(
    workspace: "Workspace", sweep: str, overrides: Sequence[str], device: str, n_workers: int
) -> _FurtherWorkers | None:
    """Give this process its share of the machine; return the workers with the other shares."""
    if n_workers == 1:
        return None
    require_one_process("--workers")
    from switchhead_lab.sweeping.local_workers import shares_of_this_machine, take_share

    own, *shares = shares_of_this_machine(n_workers, workspace.settings.device)
    take_share(own)
    return _FurtherWorkers(sweep, overrides, device, shares)


def _train_all(
    workspace: "Workspace",
    declarations: "Sequence[Sweep]",
    policy: "ChangePolicy",
    further: "_FurtherWorkers | None",
    *,
    until_decided: bool,
) -> list[str]:
    """Run sweeps in turn and print what became of their runs; return the failures of each."""
    from switchhead_lab.reporting.attached import attach_report
    from switchhead_lab.tracking.mlflow_index import open_workspace_index
    from switchhead_lab.tracking.sweep_record import describe_failures
    from switchhead_lab.views.sweep import outcome_lines

    index, failures = open_workspace_index(workspace), []
    for declaration in declarations:
        record = _train(workspace, index, declaration, policy, further, until_decided=until_decided)
        for line in outcome_lines(declaration, record, is_rung=len(declarations) > 1):
            typer.echo(line)
        if workspace.tracking_uri != "none":
            attach_report(workspace, record, index, tell)
        failures.append(describe_failures(record))
    return failures


def _train(
    workspace: "Workspace",
    index: "Index",
    declaration: "Sweep",
    policy: "ChangePolicy",
    further: "_FurtherWorkers | None",
    *,
    until_decided: bool,
) -> "SweepRecord":
    """Run a sweep, with the seeds added to decide its claims, evaluate it, and note the look."""
    from switchhead_lab.reporting.claim_states import claim_states
    from switchhead_lab.sweeping import deciding
    from switchhead_lab.sweeping.executor import run_sweep
    from switchhead_lab.tracking.sweep_store import open_sweep

    runs_dir, directory = workspace.runs_dir, open_sweep(workspace, declaration)
    # Once retrained, runs are not retrained again with the next seeds.
    policies = itertools.chain([policy], itertools.repeat(replace(policy, retrain=())))

    def say(text: str) -> None:
        tell(text, "bold")

    def beside() -> AbstractContextManager[None]:
        return nullcontext() if further is None else further.beside(declaration, policy)

    def train(sweep: "Sweep") -> "SweepRecord":
        return run_sweep(
            workspace, sweep, index, say, policy=next(policies), beside=beside, fetcher=fetcher
        )

    evaluated: set[str] = set()
    fetcher = fetcher_of(workspace)

    def judge(record: "SweepRecord") -> "list[ClaimState]":
        bring_for_claims(workspace, fetcher, record)
        if record.sweep.evaluation is not None:
            from switchhead_lab.evaluation.of_sweep import evaluate_sweep

            evaluate_sweep(workspace, record, tell, evaluated)
        return claim_states(record, runs_dir, workspace.reports_dir)

    if until_decided:
        return deciding.run_until_decided(declaration, directory, train, judge, say)
    record = train(deciding.with_added_seeds(declaration, directory))
    _score_documents(workspace, record)
    return deciding.note_looks(directory, judge(record))


def _score_documents(workspace: "Workspace", record: "SweepRecord") -> None:
    """Record the losses by document of claims that have one seed, for which there is no verdict."""
    from switchhead_lab.errors import LabError
    from switchhead_lab.reporting.claim_states import single_pairs
    from switchhead_lab.tracking.document_losses import losses_path, write_document_losses
    from switchhead_lab.trained.document_losses import score_by_document
    from switchhead_lab.trained.run import TrainedRun

    if not record.sweep.objective.predicts_next_token:
        return
    for split, run in single_pairs(record, workspace.runs_dir):
        if not losses_path(run.directory, split).is_file():
            tell(f"{run.name}: losses by document of the {split} split", "bold")
            try:
                losses = score_by_document(TrainedRun(run, workspace), split)
            except LabError as error:  # the sweep itself is done; the report has no such sentence
                tell(f"warning: no losses by document: {error}")
            else:
                write_document_losses(run.directory, split, losses)


@app.command()
def resume(
    sweep: SweepArgument,
    size: SizeOption = "",
    overrides: SetOption = None,
    device: DeviceOption = "",
    allow_drift: DriftOption = False,
    workers: WorkersOption = 1,
    on: OnOption = "local",
    cluster: ClusterOption = None,
) -> None:
    """Continue a sweep that was stopped, interrupted or killed; with any number of workers.

    The same as `lab sweep NAME`, but an error for a sweep that was never started.

    Example: lab sweep resume matched-params --workers 2
    """
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.errors import RecordError
    from switchhead_lab.tracking.sweep_store import open_sweep

    workspace = find_workspace()
    declarations = find_sweep(workspace.sweeps_dir, sweep).resolve_all(size, overrides or ())
    directories = [open_sweep(workspace, one) for one in declarations]
    if all(directory.version is None for directory in directories):
        raise RecordError(
            f"sweep {sweep}: {directories[0].path} does not exist, so there is nothing to resume; "
            "start it without `resume`, or give the --size and --set that it was run with"
        )
    run(sweep, size, overrides, device, allow_drift, workers=workers, on=on, cluster=cluster)


@app.command("list")
def list_sweeps(as_json: JsonOption = False) -> None:
    """List the sweeps of this workspace: what they compare, what they cost, what has been run.

    Below each sweep are its sizes. "table" is the paper's table, with data set and size of its
    rows; "done" is the number of finished or pruned runs out of all. MACs are of all runs, forward
    and backward, by the convention "equations". CPU h and GPU h are hours of all runs, estimated
    from finished runs on such a device; "left" is the estimated remaining time on this machine.

    Example: lab sweep list
    """
    from dataclasses import asdict

    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.estimate import measured_speeds
    from switchhead_lab.sweeping.overview import sweep_overviews
    from switchhead_lab.tracking.record import list_runs
    from switchhead_lab.views.sweep import basis_of_estimates, other_code_lines, overview_table

    workspace = find_workspace()
    runs = list_runs(workspace.runs_dir)
    speeds = measured_speeds(runs)
    overviews = list(sweep_overviews(workspace, runs, speeds))
    if as_json:
        typer.echo(to_json([asdict(overview) for overview in overviews]))
        return
    print_table(overview_table(overviews))
    print_notes([*other_code_lines(overviews), *basis_of_estimates(speeds)])


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
    from switchhead_lab.reporting.claim_states import claim_outlooks
    from switchhead_lab.sweeping.estimate import measured_speeds
    from switchhead_lab.sweeping.overview import sweep_detail
    from switchhead_lab.tracking.record import list_runs
    from switchhead_lab.views import sweep as views
    from switchhead_lab.views.match import match_lines

    workspace = find_workspace()
    named = [
        (name, declaration)
        for name in sweeps
        for declaration in find_sweep(workspace.sweeps_dir, name).resolve_all(size, overrides or ())
    ]
    runs = list_runs(workspace.runs_dir)
    speeds = measured_speeds(runs)
    details = [sweep_detail(declaration, runs, speeds) for _, declaration in named]
    if as_json:
        typer.echo(to_json([detail.plain() for detail in details]))
        return
    for (name, _), detail in zip(named, details, strict=True):
        for table in views.model_tables(detail):
            print_table(table)
        print_notes(match_lines(detail.models))
        print_table(views.cost_table(detail))
        print_notes(views.time_left_lines(detail, name, overrides or ()))
    for _, declaration in named:
        folders = (workspace.runs_dir, workspace.reports_dir, workspace.sweeps_dir)
        print_notes(claim_outlooks(declaration, *folders))
    print_notes(views.basis_of_estimates(speeds))


app.command()(sweep_control.status)
app.command()(sweep_control.stop)
app.command()(sweep_control.retry)
