"""`lab match`: every variant of a sweep with its budget resolved."""

from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.options import JsonOption, SetOption, SizeOption, SweepArgument
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import print_notes
from switchhead_lab.terminal_table import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from switchhead_lab.config.sweep import Sweep
    from switchhead_lab.sweeping.plan import Infeasible, Variant


def match(
    sweep: SweepArgument,
    size: SizeOption = "",
    overrides: SetOption = None,
    convention: Annotated[
        str,
        typer.Option(
            "--convention",
            help="equations, published or executed: how MACs and memory are counted, "
            "including for MAC matching; the sweep's by default.",
        ),
    ] = "",
    model: Annotated[
        str, typer.Option("--model", help="Only this model, by name or printed title.")
    ] = "",
    toml: Annotated[
        bool,
        typer.Option(
            "--toml",
            help="Print the resolved run configurations as TOML; with --model, a single one "
            "for `lab train`.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every variant of a sweep, matched to the dense baseline: parameters, MACs and memory.

    Nothing is trained. Costs are those of attention, of a layer and of the whole model;
    "difference" is to the dense baseline. Notes below the tables warn about models more than 1 %
    off the budget and explain infeasible combinations.

    Example: lab match matched-params --size pocket
    """
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.costing import find_counter
    from switchhead_lab.sweeping.match_rows import match_rows
    from switchhead_lab.sweeping.plan import all_variants, find_variant
    from switchhead_lab.views.match import match_lines, match_tables

    declaration = find_sweep(find_workspace().sweeps_dir, sweep).resolve(size, overrides or ())
    counter = find_counter(convention or declaration.convention)
    variants = all_variants(declaration, counter)
    if model:
        variants = [find_variant(variants, model)]
    if toml:
        _print_toml(declaration, variants)
        return
    rows = match_rows(declaration, variants, counter)
    if as_json:
        typer.echo(to_json(rows))
        return
    for table in match_tables(declaration, counter.convention, rows):
        print_table(table)
    print_notes(match_lines(rows))


def _print_toml(sweep: "Sweep", variants: "Sequence[Variant | Infeasible]") -> None:
    from switchhead_lab.config.files import run_heading, to_toml
    from switchhead_lab.sweeping.plan import Infeasible, config_of

    for variant in variants:
        if not isinstance(variant, Infeasible):
            typer.echo(run_heading(variant.title, variant.role, variant.seeds[0]))
            if variant.source:
                typer.echo(f'# add initial_weights = "RUN": a run of {variant.source}')
            typer.echo(to_toml(config_of(sweep, variant, variant.seeds[0])))
