"""`lab train`: one run of one configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.ending import end_training
from switchhead_lab.cli.options import DeviceOption, DriftOption, ReuseOption, SetOption
from switchhead_lab.cli.other_hosts import bring

if TYPE_CHECKING:
    from switchhead_lab.config.schema import RunConfig
    from switchhead_lab.config.workspace import Workspace


RetrainOption = Annotated[
    bool,
    typer.Option(
        "--retrain",
        help="Retrain under the same name; the earlier run is kept in runs/superseded/.",
    ),
]


def train(
    config: Annotated[
        Path,
        typer.Argument(help="Run configuration, as from `lab match NAME --toml --model MODEL`."),
    ],
    overrides: SetOption = None,
    device: DeviceOption = "",
    name: Annotated[
        str, typer.Option("--name", help="Name of the model in lists and run names.")
    ] = "custom",
    allow_drift: DriftOption = False,
    reuse: ReuseOption = False,
    retrain: RetrainOption = False,
) -> None:
    """Train one configuration, or resume it if it was interrupted.

    With `initial_weights = "RUN"` in the file (or --set initial_weights=RUN) training starts from
    the last checkpoint of a finished run, given by name or the start of its hash.

    If the same configuration has already been trained, even under another name, nothing is trained
    and the earlier result is printed.

    Example: lab train my-model.toml --set training.n_steps=200 --name my-model
    """
    from switchhead_lab.config.names import require_model_name
    from switchhead_lab.config.workspace import find_workspace

    require_model_name(name, "--name")
    workspace = find_workspace().on_device(device)
    resolved = _resolved(config, overrides or [], workspace)
    # Deferred: slow imports, so a mistake in the file fails fast.
    from switchhead_lab.contract.counted_size import require_counted_size
    from switchhead_lab.tracking.mlflow_index import open_workspace_index
    from switchhead_lab.tracking.record import RunLabels
    from switchhead_lab.training.change_policy import ChangePolicy, retrain_config
    from switchhead_lab.training.run import execute_run
    from switchhead_lab.views.runs import already_trained, result_line

    require_counted_size(resolved.model, resolved.vocab_size, resolved.n_outputs)
    labels = RunLabels(size="custom", variant=name)
    if retrain:
        labels = retrain_config(workspace.runs_dir, resolved) or labels
    notice = already_trained(workspace.runs_dir, resolved)
    run = execute_run(
        workspace,
        resolved,
        labels,
        index=open_workspace_index(workspace),
        policy=ChangePolicy(allow_drift, reuse),
    )
    if notice:
        typer.echo(notice)
    typer.echo(result_line(run))
    typer.echo(f"records: {run.directory}")
    end_training(workspace)


def _resolved(path: Path, overrides: list[str], workspace: "Workspace") -> "RunConfig":
    """Return the configuration in a file, with overrides and the identity of initial weights."""
    from switchhead_lab.config.files import apply_overrides, parse, read_run_file
    from switchhead_lab.config.schema import RunConfig

    tree = apply_overrides(read_run_file(path), overrides, RunConfig)
    if "initial_weights" in tree:  # deferred: rare, and a slow import
        from switchhead_lab.training.initial_weights import resolve_initial_weights

        source = tree["initial_weights"]
        name = source.get("run") if isinstance(source, dict) else source
        bring(workspace, str(name), weights=True)
        tree = resolve_initial_weights(tree, workspace.runs_dir, str(path))
    return parse(RunConfig, tree, str(path))
