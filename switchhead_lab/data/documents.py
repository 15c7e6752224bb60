"""Documents: read from a user's files and divided among train, validation and test."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from switchhead_lab.config.identity import hash_of
from switchhead_lab.errors import DataError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

HELD_OUT_FRACTION = 0.05
"""Share of a corpus's bytes that validation, and again test, holds at least."""
MIN_DOCUMENTS = 3
TEXT_SUFFIXES = (".txt", ".md", ".text")
SPLIT_FILE_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train.txt",),
    "validation": ("validation.txt", "valid.txt", "val.txt"),
    "test": ("test.txt",),
}


@dataclass(frozen=True)
class Document:
    """One text, with an id that is unique within its corpus."""

    id: str
    text: str

    @property
    def n_bytes(self) -> int:
        """Length of the text in UTF-8 bytes."""
        return len(self.text.encode("utf-8"))


@dataclass(frozen=True)
class DocumentStream:
    """Documents that are read anew, one at a time, whenever they are iterated over."""

    read: Callable[[], Iterator[Document]]

    def __iter__(self) -> Iterator[Document]:
        """Read the documents from the start."""
        return self.read()


@dataclass(frozen=True)
class Corpus:
    """Documents per split, and the SHA-256 of the source they are read from.

    Small corpora hold their documents as lists; large ones stream them, so that none is held.

    Attributes:
        name: Name of the corpus.
        source_sha256: SHA-256 of the source.
        splits: Documents, which may be iterated over several times.
        skipped_lines: Lines of the source that were skipped so far, by name of file.
    """

    name: str
    source_sha256: str
    splits: Mapping[Split, list[Document] | DocumentStream]
    skipped_lines: dict[str, int] = field(default_factory=dict)

    @property
    def n_documents(self) -> int | None:
        """Documents of all splits, each part of a cut file being one; None for a stream."""
        held = self._held_documents()
        return None if held is None else len(held)

    @property
    def n_bytes(self) -> int | None:
        """UTF-8 bytes of all splits; None for a stream."""
        held = self._held_documents()
        return None if held is None else sum(document.n_bytes for document in held)

    def _held_documents(self) -> list[Document] | None:
        held: list[Document] = []
        for documents in self.splits.values():
            if isinstance(documents, DocumentStream):
                return None
            held += documents
        return held


def corpus_of_documents(name: str, documents: Sequence[Document], source: str) -> Corpus:
    """Make a corpus by dividing whole documents, as `assign_splits` does.

    Args:
        name: Name of the corpus.
        documents: At least three, with distinct ids, in the order to keep within a split.
        source: What to call the source in errors, usually a path.

    Raises:
        DataError: If there are too few documents or a split would hold none.
    """
    split_of = assign_splits({document.id: document.n_bytes for document in documents}, source)
    splits: dict[Split, list[Document]] = {split: [] for split in SPLITS}
    for document in documents:
        splits[split_of[document.id]].append(document)
    return Corpus(name, hash_documents(documents), splits)


def assign_splits(sizes: Mapping[str, int], source: str) -> dict[str, Split]:
    """Assign whole documents to splits.

    Documents are ranked by the SHA-256 of their id. In that order they fill validation until it
    holds 5 % of all bytes, then test likewise; the rest is train. So the division depends on no
    seed, and adding a document moves few others.

    Args:
        sizes: UTF-8 bytes of each document by its id.
        source: What to call the source in errors, usually a path.

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


def read_source(name: str, path: Path) -> Corpus:
    """Read a user's text file or folder.

    A file is cut at line ends into 90 % train, 5 % validation and 5 % test, in this order. A folder
    with train.txt, validation.txt (or valid.txt, val.txt) and test.txt keeps that division.
    Of any other folder every visible .txt, .md and .text file below it is a document.

    Args:
        name: Name of the corpus.
        path: File or folder.

    Raises:
        DataError: If the path is missing, empty, not UTF-8 text, or cannot be divided.
    """
    if path.is_file():
        return _cut_file(name, path)
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; give the path of a text to prepare")
    own_split = _find_own_split(path)
    if own_split:
        texts = {split: [_read_document(path, own_split[split])] for split in SPLITS}
        documents = [document for split in SPLITS for document in texts[split]]
        return Corpus(name, hash_documents(documents), texts)
    files = sorted(text_files(path), key=lambda file: file.relative_to(path).as_posix())
    if not files:
        raise DataError(
            f"{path}: holds no {', '.join(TEXT_SUFFIXES)} file; add text files or give another path"
        )
    return corpus_of_documents(name, [_read_document(path, file) for file in files], str(path))


def hash_documents(documents: Iterable[Document]) -> str:
    """Return one SHA-256 over the ids and texts of documents, in order."""
    return hash_of([[document.id, _sha256_of_text(document.text)] for document in documents])


def read_text(path: Path) -> str:
    """Read a UTF-8 text exactly: no newline is translated, no mark removed.

    Raises:
        DataError: If the file is missing, unreadable, empty, binary or not UTF-8.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    text = decode_text(contents, path)
    if not text.strip():
        raise DataError(f"{path}: empty; remove it or give it some text")
    return text


def decode_text(contents: bytes, path: Path, *, offset: int = 0) -> str:
    """Decode UTF-8 exactly.

    Args:
        contents: Bytes of a file, from `offset` on.
        path: The file, for errors.
        offset: Where in the file they begin.

    Raises:
        DataError: If they are binary or not UTF-8; the message names file and offset.
    """
    # Byte 0 ends a document in the byte tokenizer; it also tells UTF-16 and binary files apart.
    if b"\0" in contents:
        raise DataError(
            f"{path}: binary, not text (NUL byte at offset {offset + contents.index(0)}); "
            "remove it or convert it to UTF-8"
        )
    try:
        return contents.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 (byte 0x{contents[error.start]:02x} at offset "
            f"{offset + error.start}); convert it to UTF-8"
        ) from None


def hash_files(files: Iterable[Path]) -> str:
    """Return one SHA-256 over the names and bytes of files, in order.

    Raises:
        DataError: If a file cannot be read.
    """
    hashes = []
    for path in files:
        try:
            with path.open("rb") as file:
                hashes.append([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    return hash_of(hashes)


def missing_split(folder: Path, split: Split, expected: str) -> DataError:
    """Return the error of a folder that lacks the files of a split.

    Args:
        folder: The folder.
        split: What it lacks.
        expected: Names of files that would do.
    """
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return DataError(
        f"{folder}: no file for the {split} split; found {', '.join(names[:6]) or 'nothing'}"
        f"{more}, expected {expected}"
    )


def _cut_file(name: str, path: Path) -> Corpus:
    text = read_text(path)
    contents = text.encode("utf-8")
    n_bytes = len(contents)
    cuts = [0]
    for remaining in (2 * HELD_OUT_FRACTION, HELD_OUT_FRACTION):
        cuts.append(contents.rfind(b"\n", 0, round(n_bytes * (1 - remaining))) + 1)
    cuts.append(n_bytes)
    splits: dict[Split, list[Document]] = {}
    for split, start, stop in zip(SPLITS, cuts[:-1], cuts[1:], strict=True):
        part = contents[start:stop].decode("utf-8")
        if not part.strip():
            raise DataError(
                f"{path}: {split} would come out empty when the text is cut at line ends; give "
                "more or shorter lines, or a folder with train.txt, validation.txt and test.txt"
            )
        splits[split] = [Document(f"{path.name}:{split}", part)]
    return Corpus(name, hashlib.sha256(contents).hexdigest(), splits)


def _find_own_split(folder: Path) -> dict[Split, Path]:
    """Return the user's own split files, or nothing if the folder declares no split."""
    found: dict[Split, list[str]] = {
        split: [name for name in names if (folder / name).is_file()]
        for split, names in SPLIT_FILE_NAMES.items()
    }
    if not found["train"]:
        return {}
    for split, names in found.items():
        if not names:
            raise DataError(
                f"{folder}: holds train.txt but no {SPLIT_FILE_NAMES[split][0]}; add it, or "
                "rename train.txt to have whole documents divided by rule"
            )
        if len(names) > 1:
            raise DataError(f"{folder}: holds {' and '.join(names)}; keep one of them")
    return {split: folder / names[0] for split, names in found.items()}


def text_files(folder: Path) -> Iterator[Path]:
    """Yield the visible text files below a folder, in no particular order."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in TEXT_SUFFIXES and not hidden and path.is_file():
            yield path


def _read_document(folder: Path, path: Path) -> Document:
    return Document(path.relative_to(folder).as_posix(), read_text(path))


def _sha256_of_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
