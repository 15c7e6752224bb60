"""`lab export`: a trained model as a self-contained folder."""

from typing import Annotated

import typer

from switchhead_lab.cli.options import CheckpointOption, JsonOption, RunArgument, read_checkpoint
from switchhead_lab.cli.other_hosts import bring_model
from switchhead_lab.json_text import to_json


def export(
    run: RunArgument,
    out: Annotated[
        str,
        typer.Option(
            "--out", metavar="DIR", help="Folder to create; exports/<name of the run> by default."
        ),
    ] = "",
    format_: Annotated[
        str,
        typer.Option(
            "--format", help="lab, or hf for a folder that Hugging Face transformers loads too."
        ),
    ] = "lab",
    checkpoint: CheckpointOption = "last",
    as_json: JsonOption = False,
) -> None:
    """Write a trained model as a folder that can be used anywhere, without the workspace.

    It holds weights, tokenizer, configuration, results, provenance, plugins, a model card and the
    SHA-256 of every file.

    Example: lab export 3fb2c1 --out my-model --format hf
    """
    step = read_checkpoint(checkpoint)
    from switchhead_lab.export.manifest import parse_format
    from switchhead_lab.trained.exporting import export_run
    from switchhead_lab.trained.run import open_run

    bring_model(run)
    chosen = parse_format(format_)
    folder, manifest = export_run(open_run(run), out, format=chosen, checkpoint=step)
    if as_json:
        typer.echo(to_json({"folder": str(folder), **manifest.model_dump(mode="json")}))
    else:
        typer.echo(f"{folder}: {manifest.run} after step {manifest.step}, format {chosen}")
