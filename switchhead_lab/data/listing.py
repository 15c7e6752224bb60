"""What `lab data list` shows: every known corpus with its prepared tokens, generated examples."""

from collections.abc import Callable
from pathlib import Path

from switchhead_lab.data.corpora import RegisteredCorpus, find_corpus, known_corpora
from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.example_store import ExampleStore, list_example_stores
from switchhead_lab.data.token_store import TokenStore, list_stores
from switchhead_lab.data.tokenisation import tokenizer_id
from switchhead_lab.errors import DataError, LabError
from switchhead_lab.tracking.record import warn_of_damage

Row = dict[str, str | int | float | None]


def list_corpora(
    data_dir: Path, on_damage: Callable[[LabError], None] = warn_of_damage
) -> list[Row]:
    """Return one row per prepared store, and one per corpus that has none.

    What is not known before tokens are prepared is None, and so is what generated examples lack;
    the documents of these are the examples, and padding is not counted among their tokens.

    Args:
        data_dir: The workspace's folder of prepared corpora.
        on_damage: Called with the error of each corpus.json that cannot be read.
    """
    rows: list[Row] = []
    for name in known_corpora(data_dir):
        stores = list_stores(data_dir, name)
        rows.extend(_store_row(store) for store in stores)
        if not stores:
            try:
                rows.append(_corpus_row(data_dir, name))
            except DataError as error:
                on_damage(error)
    rows.extend(_example_row(store) for store in list_example_stores(data_dir))
    return rows


def _store_row(store: TokenStore) -> Row:
    manifest = store.manifest
    parts = [manifest.splits[split] for split in SPLITS]
    return {
        "corpus": manifest.corpus,
        "tokenizer": tokenizer_id(manifest.tokenizer),
        "documents": sum(part.n_documents for part in parts),
        "bytes": sum(part.n_bytes for part in parts),
        **{f"{split} tokens": manifest.splits[split].n_tokens for split in SPLITS},
        "unigram perplexity": manifest.unigram_perplexity.validation,
    }


def _corpus_row(data_dir: Path, name: str) -> Row:
    corpus = find_corpus(data_dir, name)
    entry = corpus.entry if isinstance(corpus, RegisteredCorpus) else None
    return {
        "corpus": name,
        "tokenizer": None,
        "documents": entry.n_documents if entry else None,
        "bytes": entry.n_bytes if entry else None,
        **{f"{split} tokens": None for split in SPLITS},
        "unigram perplexity": None,
    }


def _example_row(store: ExampleStore) -> Row:
    splits = store.manifest.splits
    return {
        "corpus": store.manifest.corpus,
        "tokenizer": None,
        "documents": sum(splits[split].n_examples for split in SPLITS),
        "bytes": None,
        **{f"{split} tokens": splits[split].n_tokens for split in SPLITS},
        "unigram perplexity": None,
    }
