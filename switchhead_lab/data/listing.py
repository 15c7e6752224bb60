"""Rows of `lab data list`: known corpora with their prepared tokens, and generated examples."""

from collections.abc import Callable
from functools import partial
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

    Values that are unknown before preparation, or undefined for generated examples, are None. An
    example counts as a document; its padding is not counted as tokens.

    Args:
        data_dir: The workspace's folder of prepared corpora.
        on_damage: Called with the error of each corpus or store that cannot be read.
    """
    rows: list[Row] = []
    readers = [partial(_corpus_rows, data_dir, name) for name in known_corpora(data_dir)]
    for read in (*readers, partial(_example_rows, data_dir)):
        try:
            rows.extend(read())
        except DataError as error:
            on_damage(error)
    return rows


def _corpus_rows(data_dir: Path, name: str) -> list[Row]:
    stores = list_stores(data_dir, name)
    return [_store_row(store) for store in stores] or [_corpus_row(data_dir, name)]


def _example_rows(data_dir: Path) -> list[Row]:
    return [_example_row(store) for store in list_example_stores(data_dir)]


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
