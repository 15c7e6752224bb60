"""`lab match`: every variant of a sweep with its budget resolved."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from switchhead_lab.json_text import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from switchhead_lab.config.sweep import Sweep
    from switchhead_lab.sweeping.plan import Infeasible, Variant

SizeOption = Annotated[
    str, typer.Option("--size", help="Size declared in the sweep file; its default if left out.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. training.n_steps=10."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda or mps; that of lab.toml if left out.")
]
DriftOption = Annotated[
    bool,
    typer.Option(
        "--allow-drift",
        help="Continue runs although code, versions, threads or kernels changed; reports say so.",
    ),
]


def match(
    sweep: Annotated[str, typer.Argument(help="Name of a sweep or path to its file.")],
    size: SizeOption = "",
    overrides: SetOption = None,
    convention: Annotated[
        str,
        typer.Option(
            "--convention",
            help="equations, published or executed: how MACs and memory are counted, also by a "
            "rule that matches MACs; the sweep's if left out.",
        ),
    ] = "",
    model: Annotated[
        str, typer.Option("--model", help="Only this model: its name, or a title as printed.")
    ] = "",
    toml: Annotated[
        bool,
        typer.Option(
            "--toml",
            help="Print the resolved run configurations as TOML; add --model for a single one, as "
            "`lab train` reads it.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every variant of a sweep, matched to the dense baseline: parameters, MACs and memory.

    Nothing is trained. Costs are per attention layer and sequence; "difference" is to
    the dense baseline. Notes below the table explain combinations without a model.

    Example: lab match matched-params --size pocket
    """
    from switchhead_lab.cli.tables import print_table
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.costing import find_counter
    from switchhead_lab.sweeping.listing import match_cells, match_rows
    from switchhead_lab.sweeping.plan import all_variants, find_variant

    declaration = find_sweep(find_workspace().sweeps_dir, sweep).resolve(size, overrides or ())
    counter = find_counter(convention or declaration.convention)
    variants = all_variants(declaration, counter)
    if model:
        variants = [find_variant(variants, model)]
    if toml:
        _print_toml(declaration, variants)
        return
    rows: list[dict[str, Any]] = match_rows(declaration, variants, counter)
    if as_json:
        typer.echo(to_json(rows))
        return
    columns, cells = match_cells(rows)
    title = (
        f"{declaration.name}, size {declaration.size}: {declaration.matching.replace('_', '-')}, "
        f"MACs and memory by the {counter.convention} convention"
    )
    print_table(title, columns, cells, n_text_columns=2)
    for reason in dict.fromkeys(row["infeasible"] for row in rows if row["infeasible"]):
        typer.echo(f"infeasible: {reason}")


def _print_toml(sweep: "Sweep", variants: "Sequence[Variant | Infeasible]") -> None:
    from switchhead_lab.config.files import to_toml
    from switchhead_lab.config.run_files import run_heading
    from switchhead_lab.sweeping.plan import Infeasible, config_of

    for variant in variants:
        if not isinstance(variant, Infeasible):
            typer.echo(run_heading(variant.title, variant.role, variant.seeds[0]))
            if variant.source:
                typer.echo(f'# add initial_weights = "RUN": a run of {variant.source}')
            typer.echo(to_toml(config_of(sweep, variant, variant.seeds[0])))
