"""`lab budget`: parameters, MACs and memory of a configuration or of a sweep's models."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.options import JsonOption, SetOption, SizeOption
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal_table import print_table

if TYPE_CHECKING:
    from switchhead_lab.config.architecture import ModelConfig


def budget(
    target: Annotated[
        str, typer.Argument(help="Run configuration (a TOML file), or name or path of a sweep.")
    ],
    size: SizeOption = "",
    overrides: SetOption = None,
    convention: Annotated[
        str, typer.Option("--convention", help="equations, published, executed or all.")
    ] = "all",
    as_json: JsonOption = False,
) -> None:
    """Count the parameters, MACs and memory of models, in every convention side by side.

    MACs are multiply-accumulates, forward; memory is floats saved for the backward pass. Layers are
    counted per sequence, the whole model, with its output layer, per token. "equations" are the
    formulas in the paper's text, "published" what its tables print, "executed" what the
    trained layers really compute.

    Example: lab budget matched-params --convention published
    """
    from switchhead_lab.budget.summary import summarise_budget
    from switchhead_lab.config.cost_names import CONVENTIONS
    from switchhead_lab.errors import ConfigError
    from switchhead_lab.sweeping.costing import find_counter
    from switchhead_lab.views import budget as views

    if convention not in ("all", *CONVENTIONS):
        raise ConfigError(f"--convention {convention}: use all, {', '.join(CONVENTIONS)}")
    models = _models(target, size, overrides or [])
    wanted = CONVENTIONS if convention == "all" else (convention,)
    counters = [find_counter(name) for name in wanted]
    summaries = {
        name: summarise_budget(model, counters, vocab_size, n_outputs)
        for name, (model, vocab_size, n_outputs) in models.items()
    }
    if as_json:
        typer.echo(to_json({name: s.as_data() for name, s in summaries.items()}))
        return
    print_table(views.parameter_table(summaries))
    print_table(views.part_table(summaries))
    print_table(views.cost_table(summaries, wanted))


def _models(
    target: str, size: str, overrides: list[str]
) -> dict[str, tuple["ModelConfig", int, int]]:
    """Return model, vocabulary size and outputs of each model of a target."""
    from switchhead_lab.config.files import apply_overrides, parse, read_run_file
    from switchhead_lab.config.schema import RunConfig
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.errors import ConfigError, WorkspaceError
    from switchhead_lab.sweeping.plan import declared_variants, first_candidates

    path = Path(target)
    if path.suffix == ".toml":
        with contextlib.suppress(WorkspaceError):  # optional: it may register plugins
            find_workspace()
    tree = read_run_file(path) if path.suffix == ".toml" else {}
    model = tree.get("model")
    if isinstance(model, dict) and "attention" in model:
        if size:
            raise ConfigError(f"--size {size}: {target} is one run, without sizes; omit --size")
        tree = apply_overrides(tree, overrides, RunConfig)
        tree.pop("initial_weights", None)  # changes no cost
        config = parse(RunConfig, tree, target)
        return {path.stem: (config.model, config.vocab_size, config.n_outputs)}
    sweep = find_sweep(find_workspace().sweeps_dir, target).resolve(size, overrides)
    variants = [*declared_variants(sweep), *first_candidates(sweep)]
    return {
        variant.title: (variant.model, sweep.vocab_size, sweep.n_outputs) for variant in variants
    }
