"""Documents: read from a user's files and divided among train, validation and test."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
class Corpus:
    """Documents per split, and the SHA-256 of the source they were read from."""

    name: str
    source_sha256: str
    splits: dict[Split, list[Document]]

    @property
    def n_documents(self) -> int:
        """Documents of all splits; a single file counts as one for each part it is cut into."""
        return sum(len(documents) for documents in self.splits.values())

    @property
    def n_bytes(self) -> int:
        """UTF-8 bytes of all splits."""
        return sum(d.n_bytes for documents in self.splits.values() for d in documents)


def corpus_of_documents(name: str, documents: Sequence[Document], source: str) -> Corpus:
    """Make a corpus by dividing whole documents.

    Documents are ranked by the SHA-256 of their id. In that order they fill validation until it
    holds 5 % of all bytes, then test likewise; the rest is train. Within a split the given order
    is kept. So the division depends on no seed, and adding a document moves few others.

    Args:
        name: Name of the corpus.
        documents: At least three, with distinct ids, in the order to keep.
        source: What to call the source in errors, usually a path.

    Raises:
        DataError: If there are too few documents or a split would hold none.
    """
    if len(documents) < MIN_DOCUMENTS:
        raise DataError(
            f"{source}: {len(documents)} documents, but a corpus of whole documents needs at least "
            f"{MIN_DOCUMENTS}; add some, or give one text file, which is cut at line ends"
        )
    sizes = {document.id: document.n_bytes for document in documents}
    wanted = HELD_OUT_FRACTION * sum(sizes.values())
    ranked = sorted(sizes, key=_sha256_of_text)
    split_of: dict[str, Split] = {}
    held_out: tuple[Split, ...] = ("validation", "test")
    for split in held_out:
        n_bytes = 0
        while ranked and n_bytes < wanted:
            split_of[ranked[0]] = split
            n_bytes += sizes[ranked.pop(0)]
    splits: dict[Split, list[Document]] = {split: [] for split in SPLITS}
    for document in documents:
        splits[split_of.get(document.id, "train")].append(document)
    for split in SPLITS:
        if not splits[split]:
            raise DataError(
                f"{source}: no document is left for {split}, because a few large ones hold most of "
                "the text; divide those, or give train.txt, validation.txt and test.txt"
            )
    return Corpus(name, hash_documents(documents), splits)


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
    files = sorted(_text_files(path), key=lambda file: file.relative_to(path).as_posix())
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
    # Byte 0 ends a document in the byte tokenizer; it also tells UTF-16 and binary files apart.
    if b"\0" in contents:
        raise DataError(
            f"{path}: binary, not text (NUL byte at offset {contents.index(0)}); "
            "remove it or convert it to UTF-8"
        )
    try:
        text = contents.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 (byte 0x{contents[error.start]:02x} at offset {error.start}); "
            "convert it to UTF-8"
        ) from None
    if not text.strip():
        raise DataError(f"{path}: empty; remove it or give it some text")
    return text


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


def _text_files(folder: Path) -> Iterable[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in TEXT_SUFFIXES and not hidden and path.is_file():
            yield path


def _read_document(folder: Path, path: Path) -> Document:
    return Document(path.relative_to(folder).as_posix(), read_text(path))


def _sha256_of_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
