"""`lab data`: prepare corpora and list them."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Prepare corpora and list them.\n\nExample: lab data list", no_args_is_help=True
)


@app.command()
def prepare(
    path: Annotated[Path | None, typer.Argument(help="Text file or folder of your own.")] = None,
    name: Annotated[str, typer.Option(help="Name for PATH, or the corpus to prepare.")] = "",
    tokenizer: Annotated[str, typer.Option(help="sentencepiece, byte or char.")] = "sentencepiece",
    vocab_size: Annotated[
        int | None, typer.Option(help="Size of the vocabulary; 2048 pieces or 256 characters.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give a known name to another text.")
    ] = False,
) -> None:
    """Tokenise a corpus, once; without PATH the default corpus of lab.toml.

    Example: lab data prepare notes.txt --name notes
    """
    from switchhead_lab.config.files import parse
    from switchhead_lab.config.schema import DataConfig
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.data import token_store
    from switchhead_lab.errors import ConfigError

    workspace = find_workspace()
    if path is not None and not name:
        raise ConfigError(f"{path}: needs a name; add --name NAME")
    if path is None and replace:
        raise ConfigError("--replace without PATH has no effect; give the text or leave it out")
    choice = {"kind": tokenizer} | ({} if vocab_size is None else {"vocab_size": vocab_size})
    values = {"corpus": name or workspace.settings.default_corpus, "tokenizer": choice}
    data = parse(DataConfig, values, "lab data prepare")
    if path is not None:
        token_store.register(workspace.data_dir, path, name, replace=replace)
    known = token_store.find_store(workspace.data_dir, data)
    store = known or token_store.prepare(workspace.data_dir, data, progress=typer.echo)
    typer.echo(f"{'already prepared' if known else 'prepared'}: {store.path}")
    for split, part in store.manifest.splits.items():
        typer.echo(
            f"  {split}: {part.n_documents:,} documents, {part.n_bytes:,} bytes, "
            f"{part.n_tokens:,} tokens"
        )


@app.command("list")
def list_corpora(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List known corpora and their prepared tokens.

    Example: lab data list --json
    """
    import json

    from switchhead_lab.cli.tables import print_table
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.data import listing

    data_dir = find_workspace().data_dir
    rows = listing.list_corpora(data_dir)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    cells = [[_cell(value) for value in row.values()] for row in rows]
    print_table(f"Corpora in {data_dir}", list(rows[0]), cells, n_text_columns=2)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value or "-")
