"""Documents, and their division into train, validation and test."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

from switchhead_lab.config.identity import hash_of
from switchhead_lab.errors import DataError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SPLIT_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
"""Names of each split in users' files and folders, the usual one first."""

HELD_OUT_FRACTION = 0.05
"""Minimum share of a corpus's bytes in validation, and in test."""
MIN_DOCUMENTS = 3
BLOCK_CHARACTERS = 2**20
"""Texts longer than this are divided into blocks at line ends."""


class CorpusDocument(Protocol):
    """The interface of a corpus's documents."""

    @property
    def id(self) -> str:
        """Id that is unique within its corpus."""

    @property
    def n_bytes(self) -> int:
        """Length of the text in UTF-8 bytes."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the text in UTF-8."""

    def blocks(self) -> Iterator[str]:
        """Yield the text in blocks, all of whole lines, without holding all of them."""


@dataclass(frozen=True)
class Document:
    """A text in memory, with an id that is unique within its corpus."""

    id: str
    text: str

    @property
    def n_bytes(self) -> int:
        """Length of the text in UTF-8 bytes."""
        return len(self.text.encode("utf-8"))

    @property
    def sha256(self) -> str:
        """SHA-256 of the text in UTF-8."""
        return _sha256_of_text(self.text)

    def blocks(self) -> Iterator[str]:
        """Yield the text in blocks of whole lines."""
        return blocks_of(self.text)


@dataclass(frozen=True)
class DocumentStream:
    """Documents that each iteration reads from the source, one at a time."""

    read: Callable[[], Iterator[CorpusDocument]]

    def __iter__(self) -> Iterator[CorpusDocument]:
        """Read the documents from the start."""
        return self.read()


@dataclass(frozen=True)
class Corpus:
    """Documents per split, and the SHA-256 of the source they are read from.

    Corpora of text files list their documents, corpora of lines stream them. Neither holds a large
    text in memory.

    Attributes:
        name: Name of the corpus.
        source_sha256: SHA-256 of the source.
        splits: Documents by split, which can be iterated over repeatedly.
        skipped_lines: Number of lines skipped so far, by file name.
        remarks: Warnings about how the source was read, such as ignored files.
        origins: What each split is read from, for errors; empty for streams from the Hub.
    """

    name: str
    source_sha256: str
    splits: Mapping[Split, Sequence[CorpusDocument] | DocumentStream]
    skipped_lines: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    origins: Mapping[Split, str] = field(default_factory=dict)

    @property
    def n_documents(self) -> int | None:
        """Documents of all splits, counting each part of a cut file; None for a stream."""
        listed = self._listed_documents()
        return None if listed is None else len(listed)

    @property
    def n_bytes(self) -> int | None:
        """UTF-8 bytes of all splits; None for a stream."""
        listed = self._listed_documents()
        return None if listed is None else sum(document.n_bytes for document in listed)

    def _listed_documents(self) -> list[CorpusDocument] | None:
        listed: list[CorpusDocument] = []
        for documents in self.splits.values():
            if isinstance(documents, DocumentStream):
                return None
            listed += documents
        return listed


def corpus_of_documents(name: str, documents: Sequence[CorpusDocument], source: str) -> Corpus:
    """Create a corpus by dividing whole documents with `assign_splits`.

    Args:
        name: Name of the corpus.
        documents: At least three, with distinct ids; splits keep their order.
        source: Name of the source in errors, usually a path.

    Raises:
        DataError: If there are too few documents or a split would hold none.
    """
    split_of = assign_splits({document.id: document.n_bytes for document in documents}, source)
    splits: dict[Split, list[CorpusDocument]] = {split: [] for split in SPLITS}
    for document in documents:
        splits[split_of[document.id]].append(document)
    origins = dict.fromkeys(SPLITS, source)
    return Corpus(name, hash_documents(documents), splits, origins=origins)


def assign_splits(sizes: Mapping[str, int], source: str) -> dict[str, Split]:
    """Assign whole documents to splits.

    Documents are ranked by the SHA-256 of their id. In that order they fill validation until it
    holds 5 % of all bytes, then test to the same share; the rest is train. The division needs no
    seed, and adding a document moves few others.

    Args:
        sizes: UTF-8 bytes of each document by its id.
        source: Name of the source in errors, usually a path.

    Raises:
        DataError: If there are too few documents or a split would hold none.
    """
    if len(sizes) < MIN_DOCUMENTS:
        raise DataError(
            f"{source}: {len(sizes)} documents, but a corpus of whole documents needs at least "
            f"{MIN_DOCUMENTS}; add some, or give one text file, which is cut at line ends"
        )
    wanted = HELD_OUT_FRACTION * sum(sizes.values())
    ranked = iter(sorted(sizes, key=_sha256_of_text))
    split_of: dict[str, Split] = dict.fromkeys(sizes, "train")
    held_out: tuple[Split, ...] = ("validation", "test")
    for split in held_out:
        n_bytes = 0
        while n_bytes < wanted and (document := next(ranked, None)) is not None:
            split_of[document] = split
            n_bytes += sizes[document]
    for split in SPLITS:
        if split not in split_of.values():
            raise DataError(
                f"{source}: no document is left for {split}, because a few large ones hold most of "
                "the text; divide those, or give a folder with a file for each split"
            )
    return split_of


def hash_documents(documents: Iterable[CorpusDocument]) -> str:
    """Return one SHA-256 over the ids and texts of documents, in order."""
    return hash_of([[document.id, document.sha256] for document in documents])


def blocks_of(text: str) -> Iterator[str]:
    """Yield a text in blocks of whole lines, each but the last of over `BLOCK_CHARACTERS`."""
    start = 0
    while len(text) - start > BLOCK_CHARACTERS:
        stop = text.find("\n", start + BLOCK_CHARACTERS) + 1
        if not stop:
            break
        yield text[start:stop]
        start = stop
    yield text[start:]


def _sha256_of_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
