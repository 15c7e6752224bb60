"""JSON lines: one document per line, its text in the field "text", read as a stream.

Files end in .json or .jsonl, plain or compressed (.gz, .zst). Blank lines are ignored.
"""

import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from switchhead_lab.data.documents import (
    SPLITS,
    Corpus,
    Document,
    DocumentStream,
    Split,
    assign_splits,
    hash_files,
    missing_split,
    text_files,
)
from switchhead_lab.errors import DataError

TEXT_FIELD = "text"
SUFFIX = re.compile(r"\.(json|jsonl)(\.gz|\.zst)?$")
SPLIT_PREFIX: dict[Split, re.Pattern[str]] = {
    "train": re.compile(r"(c4-)?train[.\-_]"),
    "validation": re.compile(r"(c4-)?(validation|valid|val)[.\-_]"),
    "test": re.compile(r"(c4-)?test[.\-_]"),
}


@dataclass(frozen=True)
class BadLines:
    """What to do with lines that hold no document, and how many were skipped.

    Attributes:
        skip: Count such lines instead of raising.
        counts: Skipped lines by name of file, filled while the files are read.
    """

    skip: bool = False
    counts: dict[str, int] = field(default_factory=dict)


def is_jsonl(path: Path) -> bool:
    """Return whether a path is a JSONL file, or a folder of them.

    A folder is one if it holds a file train*.json or train*.jsonl, plain or compressed, or some
    other such file and no text file.
    """
    if path.is_file():
        return SUFFIX.search(path.name) is not None
    files = _jsonl_files(path)
    if any(SPLIT_PREFIX["train"].match(file.name) for file in files):
        return True
    return bool(files) and not any(True for _ in text_files(path))


def read_jsonl_file(name: str, path: Path, bad_lines: BadLines) -> Corpus:
    """Divide the lines of one JSONL file, as `documents.assign_splits` does.

    The file is read once to learn the documents' lengths, then once per split; no text is held.

    Raises:
        DataError: If a line is unusable or the documents cannot be divided.
    """
    sizes = {document.id: document.n_bytes for document in read_jsonl(path, bad_lines)}
    split_of = assign_splits(sizes, str(path))

    def reader(split: Split) -> Callable[[], Iterator[Document]]:
        return lambda: (d for d in read_jsonl(path, bad_lines) if split_of[d.id] == split)

    streams = {split: DocumentStream(reader(split)) for split in SPLITS}
    return Corpus(name, hash_files([path]), streams, bad_lines.counts)


def read_jsonl_folder(
    name: str, folder: Path, bad_lines: BadLines, *, deals_test: bool = False
) -> Corpus:
    """Read a folder of JSONL files named after their splits, each split in order of file name.

    Args:
        name: Name of the corpus.
        folder: Holds train*, validation* (or valid*, val*) and test* files; the names of C4,
            c4-train* and c4-validation*, do too.
        bad_lines: What to do with unusable lines.
        deals_test: The corpus is published without test split, so `deal_documents` makes one.

    Raises:
        DataError: If a split has no file; or a test split is there that the corpus does not have.
    """
    files = _jsonl_files(folder)
    found = {
        split: [file for file in files if SPLIT_PREFIX[split].match(file.name)] for split in SPLITS
    }
    if deals_test and found["test"]:
        raise DataError(
            f"{folder}: holds {found['test'][0].name}, but {name} is published without a test "
            "split, and half of its validation documents are used for it; remove the file"
        )
    needed: tuple[Split, ...] = ("train", "validation") if deals_test else SPLITS
    for split in needed:
        if not found[split]:
            prefix = "c4-" if name == "c4" else ""
            raise missing_split(folder, split, f"{prefix}{split}*.json.gz, .json, .jsonl or .zst")

    def reader(split: Split) -> Callable[[], Iterator[Document]]:
        return lambda: itertools.chain.from_iterable(
            read_jsonl(file, bad_lines) for file in found[split]
        )

    streams: dict[Split, DocumentStream] = {s: DocumentStream(reader(s)) for s in needed}
    if deals_test:
        streams |= deal_documents(streams["validation"])
    used = [file for split in needed for file in found[split]]
    return Corpus(name, hash_files(used), streams, bad_lines.counts)


def deal_documents(held_out: DocumentStream) -> dict[Split, DocumentStream]:
    """Deal held-out documents alternately: the first to validation, the second to test, and so on.

    The fixed rule for C4 and peS2o, which are published without test split. Halves would differ
    in kind, since the validation shards of peS2o hold abstracts first and whole papers last.
    """
    return {
        "validation": DocumentStream(lambda: itertools.islice(held_out, 0, None, 2)),
        "test": DocumentStream(lambda: itertools.islice(held_out, 1, None, 2)),
    }


def read_jsonl(path: Path, bad_lines: BadLines) -> Iterator[Document]:
    """Yield the documents of a JSONL file; their ids are name of file and number of line.

    Raises:
        DataError: If the file is missing or damaged, or a line unusable and not to be skipped.
    """
    return documents_of_lines(read_lines(path), str(path), bad_lines)


def documents_of_lines(
    lines: Iterable[bytes | str], source: str, bad_lines: BadLines
) -> Iterator[Document]:
    """Yield the document of each JSON line.

    Args:
        lines: Lines of JSON.
        source: Path or address they come from; its last part names the documents.
        bad_lines: What to do with unusable lines.

    Raises:
        DataError: If a line is unusable and not to be skipped; the message says what is wrong.
    """
    name = source.rsplit("/", 1)[-1]
    n_bad = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            text = _text_of_line(line)
        except ValueError as error:
            if not bad_lines.skip:
                raise DataError(
                    f"{source}: line {number}: {error}; mend it, or skip such lines with "
                    "`lab data prepare PATH --name NAME --skip-bad-lines`"
                ) from None
            n_bad += 1
            # Files are read several times, so the highest count is that of a whole reading.
            bad_lines.counts[name] = max(n_bad, bad_lines.counts.get(name, 0))
            continue
        yield Document(f"{name}:{number}", text)


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, decompressed if it ends in .gz or .zst.

    Raises:
        DataError: If the file cannot be read to its end.
    """
    n_lines = 0
    try:
        with _open(path) as file:
            for line in file:
                yield line
                n_lines += 1
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be read after line {n_lines}: {reason}; get the file anew"
        ) from None


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def _text_of_line(line: bytes | str) -> str:
    """Return the text of a line, or raise a ValueError that says what is wrong with it."""
    try:
        value = json.loads(line.decode("utf-8") if isinstance(line, bytes) else line)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start + 1} of the line)") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at character {error.pos + 1})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not usable JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"not a JSON object with a field {TEXT_FIELD!r}, but {_kind(value)}")
    if TEXT_FIELD not in value:
        fields = ", ".join(sorted(value)[:8]) or "none"
        raise ValueError(f"no field {TEXT_FIELD!r} (fields: {fields})")
    text = value[TEXT_FIELD]
    if not isinstance(text, str):
        raise ValueError(f"field {TEXT_FIELD!r} is {_kind(text)}, not a string")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"field {TEXT_FIELD!r} holds half of a surrogate pair at character {error.start + 1}"
        ) from None
    return text


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _jsonl_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if SUFFIX.search(path.name) and not path.name.startswith(".") and path.is_file()
    )
