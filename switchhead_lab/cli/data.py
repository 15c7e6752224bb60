"""`lab data`: prepare corpora and list them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.options import JsonOption, WideOption
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal_table import print_table

if TYPE_CHECKING:
    from switchhead_lab.config.data import ExampleData
    from switchhead_lab.config.workspace import Workspace

app = typer.Typer(
    help="Prepare corpora and list them.\n\nExample: lab data list", no_args_is_help=True
)


@app.command()
def prepare(
    path: Annotated[
        Path | None, typer.Argument(help="Your own text or JSONL, file or folder.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name for PATH, or of the corpus to prepare.")] = "",
    tokenizer: Annotated[str, typer.Option(help="sentencepiece, byte or char.")] = "sentencepiece",
    vocab_size: Annotated[
        int | None, typer.Option(help="Vocabulary size; 2048 pieces or 256 characters.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the text of an existing name.")
    ] = False,
    max_train_tokens: Annotated[
        int, typer.Option(help="Limit the train split to its first N tokens; 0 for all.")
    ] = 0,
    skip_bad_lines: Annotated[
        bool, typer.Option("--skip-bad-lines", help="Skip JSONL lines without a valid document.")
    ] = False,
) -> None:
    """Tokenise a corpus once; without PATH, the default corpus of lab.toml.

    JSONL files (plain, .gz or .zst) have one document per line in the field "text". With the names
    wikitext103, c4, pes2o and enwik8, PATH is the published files; without PATH, all but enwik8
    are streamed from the Hugging Face Hub.

    Example: lab data prepare notes.txt --name notes
    """
    from switchhead_lab.config.data import TextData
    from switchhead_lab.config.files import parse
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.data import token_store
    from switchhead_lab.views.data import store_lines

    workspace = find_workspace()
    _require_sense(workspace, path, name, replace=replace, skip_bad_lines=skip_bad_lines)
    choice = {"kind": tokenizer} | ({} if vocab_size is None else {"vocab_size": vocab_size})
    values = {
        "corpus": name or workspace.settings.default_corpus,
        "tokenizer": choice,
        "max_train_tokens": max_train_tokens,
    }
    data = parse(TextData, values, "lab data prepare")
    if path is not None:
        token_store.register(
            workspace.data_dir, path, name, replace=replace, skip_bad_lines=skip_bad_lines
        )
    known = token_store.find_store(workspace.data_dir, data)
    store = known or token_store.prepare(workspace.data_dir, data, progress=typer.echo)
    typer.echo(f"{'already prepared' if known else 'prepared'}: {store.path}")
    for line in store_lines(store.manifest):
        typer.echo(line)
    if known:
        token_store.warn(data.corpus, known.manifest.warnings)


def _require_sense(
    workspace: "Workspace", path: Path | None, name: str, *, replace: bool, skip_bad_lines: bool
) -> None:
    """Reject invalid combinations of options of `lab data prepare`."""
    from switchhead_lab.data.corpora import known_corpora
    from switchhead_lab.errors import ConfigError

    if path is not None and not name:
        if str(path) in known_corpora(workspace.data_dir) and not path.exists():
            raise ConfigError(
                f"{path}: no such file; to prepare the corpus of that name, run "
                f"`lab data prepare --name {path}`"
            )
        raise ConfigError(f"{path}: needs a name; add --name NAME")
    if path is None and replace:
        raise ConfigError("--replace without PATH has no effect; add PATH or remove --replace")
    if path is None and skip_bad_lines:
        raise ConfigError("--skip-bad-lines without PATH has no effect; add the PATH of the files")


@app.command()
def listops(
    n_train: Annotated[int | None, typer.Option(help="Training examples; 50000.")] = None,
    max_depth: Annotated[int | None, typer.Option(help="Maximum nesting of operators; 5.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Maximum tokens per example; 50.")] = None,
    operators: Annotated[str | None, typer.Option(help="Comma-separated; MIN,MAX,MED,SM.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the examples; 0.")] = None,
    show: Annotated[
        int, typer.Option(min=0, help="Print this many training examples, each after its value.")
    ] = 0,
) -> None:
    """Generate ListOps examples once: nested operators over digits, classified by value.

    A sweep generates its own examples when it first trains; use this to inspect some before.

    Example: lab data listops --max-depth 3 --show 5
    """
    from switchhead_lab.config.data import ListOpsData
    from switchhead_lab.config.files import parse

    given = {
        "n_train": n_train,
        "max_depth": max_depth,
        "max_length": max_length,
        "operators": None if operators is None else operators.split(","),
        "seed": seed,
    }
    values = {key: value for key, value in given.items() if value is not None}
    data = parse(ListOpsData, {"kind": "listops", **values}, "lab data listops")
    _prepare_examples(data, show)


@app.command()
def digits(
    n_train: Annotated[int | None, typer.Option(help="Training images; 1200.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the split; 0.")] = None,
    show: Annotated[
        int, typer.Option(min=0, help="Draw this many training images, each after its digit.")
    ] = 0,
) -> None:
    """Prepare scikit-learn's handwritten digits once: 8x8 pixels, one token each.

    A sweep prepares its own split when it first trains; use this to inspect images before.

    Example: lab data digits --show 2
    """
    from switchhead_lab.config.data import DigitsData
    from switchhead_lab.config.files import parse

    given = {"n_train": n_train, "seed": seed}
    values = {key: value for key, value in given.items() if value is not None}
    _prepare_examples(parse(DigitsData, {"kind": "digits", **values}, "lab data digits"), show)


def _prepare_examples(data: "ExampleData", show: int) -> None:
    """Prepare labelled examples, describe them and print the first `show`."""
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.data import example_store
    from switchhead_lab.errors import ConfigError
    from switchhead_lab.views.data import example_lines

    if show > data.n_train:
        raise ConfigError(f"--show {show} but n_train={data.n_train}; use at most {data.n_train}")
    data_dir = find_workspace().data_dir
    known = example_store.find_examples(data_dir, data)
    store = known or example_store.prepare_examples(data_dir, data, progress=typer.echo)
    typer.echo(f"{'already prepared' if known else 'prepared'}: {store.path}")
    for line in example_lines(store, show):
        typer.echo(line)


@app.command("list")
def list_corpora(wide: WideOption = False, as_json: JsonOption = False) -> None:
    """List known corpora and their prepared tokens.

    Example: lab data list --json
    """
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.data import listing
    from switchhead_lab.views.data import corpus_table

    data_dir = find_workspace().data_dir
    rows = listing.list_corpora(data_dir)
    if as_json:
        typer.echo(to_json(rows))
        return
    print_table(corpus_table(data_dir, rows), is_wide=wide)
