"""Output of `lab data`: the listing of corpora, and summaries of prepared data."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from switchhead_lab.data.example_store import ExampleStore
from switchhead_lab.data.listing import Row
from switchhead_lab.data.token_store import Manifest
from switchhead_lab.number_text import NOTHING
from switchhead_lab.terminal_table import Table

# The least useful first.
_OPTIONAL = ("test tokens", "bytes", "validation tokens")


def corpus_table(data_dir: Path, rows: Sequence[Row]) -> Table:
    """Return the listing of corpora from rows of `list_corpora`."""
    cells = [[_cell(value) for value in row.values()] for row in rows]
    headings = [heading.replace(" ", "\n") for heading in rows[0]]
    return Table(f"Corpora in {data_dir}", headings, cells, 2, _OPTIONAL)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value or NOTHING)


def store_lines(manifest: Manifest) -> Iterator[str]:
    """Yield the sizes of the splits of prepared tokens, and counts of skipped lines."""
    for split, part in manifest.splits.items():
        yield (
            f"  {split}: {part.n_documents:,} documents, {part.n_bytes:,} bytes, "
            f"{part.n_tokens:,} tokens"
        )
    for file, n_lines in manifest.skipped_lines.items():
        yield f"  skipped in {file}: {n_lines:,} bad lines"


def example_lines(store: ExampleStore, n_shown: int) -> Iterator[str]:
    """Yield the sizes of the splits of labelled examples, and some training examples."""
    manifest = store.manifest
    for split, part in manifest.splits.items():
        yield (
            f"  {split}: {part.n_examples:,} examples, {part.mean_length:.1f} tokens on average; "
            f"always guessing {manifest.majority_class} is right for {part.majority_fraction:.1%}"
        )
    train, render = store.examples("train"), import_module(manifest.data.module).render_example
    for tokens, value in zip(train.tokens[:n_shown], train.labels[:n_shown], strict=True):
        yield f"  {value} = {render(tokens, manifest.data)}"
