"""JSON lines: one document per line, its text in the field "text", read as a stream.

Files end in .jsonl, .ndjson, .jl or .json, plain or compressed (.gz, .zst), in any case. Blank
lines are ignored.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from switchhead_lab.data.documents import (
    SPLIT_NAMES,
    SPLITS,
    Corpus,
    Document,
    DocumentStream,
    Split,
    assign_splits,
)
from switchhead_lab.data.file_errors import printable
from switchhead_lab.data.source_files import (
    LINES,
    SourceFolder,
    ends_in,
    list_folder,
    missing_split,
    name_some,
)
from switchhead_lab.data.text_reading import hash_files, read_lines
from switchhead_lab.errors import DataError

TEXT_FIELD = "text"
SPLIT_PREFIX: dict[Split, re.Pattern[str]] = {
    split: re.compile(rf"(c4-)?({'|'.join(names)})[.\-_]", re.IGNORECASE)
    for split, names in SPLIT_NAMES.items()
}

# Certainly JSON lines; a .json file may be anything, such as metadata beside texts.
_CERTAIN_LINES = ends_in(".jsonl", ".ndjson", ".jl")
_DOCUMENTATION = re.compile(
    r"(readme|licen[cs]e|copying|notice|authors|change(log|s)|citation|contributing|dataset_?card)"
    r"(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class BadLines:
    """What to do with lines without a document, and how many were skipped.

    Attributes:
        skip: Count such lines instead of raising.
        counts: Skipped lines by name of file, filled while the files are read.
    """

    skip: bool = False
    counts: dict[str, int] = field(default_factory=dict)


def is_jsonl(path: Path) -> bool:
    """Return whether a path is a JSONL file, or a folder of them.

    Raises:
        DataError: If a folder cannot be listed, or holds both texts and JSON lines.
    """
    if path.is_dir():
        return consists_of_json_lines(list_folder(path))
    return LINES.search(path.name) is not None


def consists_of_json_lines(folder: SourceFolder) -> bool:
    """Return whether a folder is a corpus of JSON lines rather than of texts.

    It is if it holds a file train*.jsonl (or .json, .ndjson, .jl, plain or compressed), or other
    JSONL files and no texts except documentation (README, LICENSE and the like).

    Raises:
        DataError: If both are possible.
    """
    if any(SPLIT_PREFIX["train"].match(file.name) for file in folder.at_root(folder.lines)):
        return True
    certain = [file for file in folder.lines if _CERTAIN_LINES.search(file.name)]
    texts = [file for file in folder.texts if not _DOCUMENTATION.match(file.name)]
    if certain and texts:
        raise DataError(
            f"{folder.path}: holds both JSONL ({name_some(map(folder.name_of, certain))}) and "
            f"texts ({name_some(map(folder.name_of, texts))}); prepare them as two corpora, or "
            "move one kind out of the folder"
        )
    return bool(certain) or (bool(folder.lines) and not folder.texts)


def read_jsonl_file(name: str, path: Path, bad_lines: BadLines) -> Corpus:
    """Divide the lines of one JSONL file with `documents.assign_splits`.

    Raises:
        DataError: If a line is unusable or the documents cannot be divided.
    """
    return _divide(name, path, {printable(path.name): path}, bad_lines)


def read_jsonl_folder(
    name: str, folder: SourceFolder, bad_lines: BadLines, *, halves_validation: bool = False
) -> Corpus:
    """Read a folder of JSONL files.

    Files named after splits are the splits, each in order of file name. If no file is named after
    a split, `documents.assign_splits` divides the lines of all files.

    Args:
        name: Name of the corpus.
        folder: Its train*, validation* (or valid*, val*) and test* files are the splits, with or
            without the prefix c4-.
        bad_lines: What to do with unusable lines.
        halves_validation: Whether to make the test split with `halve_documents`, for a corpus that
            is published without one.

    Raises:
        DataError: If a split has no file, or a corpus without a test split has a test file.
    """
    files = folder.at_root(folder.lines)
    found = {split: _of_split(files, split) for split in SPLITS}
    if not halves_validation and not any(found.values()):
        _reject_nested_split(folder)
        corpus = _divide(
            name, folder.path, {folder.name_of(file): file for file in folder.lines}, bad_lines
        )
        corpus.remarks.extend(folder.remarks(folder.lines, "text beside JSONL"))
        return corpus
    if halves_validation and found["test"]:
        raise DataError(
            f"{folder.path}: holds {found['test'][0].name}, but {name} is published without a test "
            "split, so half of its validation documents serve as one; remove the file"
        )
    needed: tuple[Split, ...] = ("train", "validation") if halves_validation else SPLITS
    for split in needed:
        if not found[split]:
            prefix = "c4-" if name == "c4" else ""
            expected = f"{prefix}{split}*.json.gz, .json, .jsonl or .zst"
            raise missing_split(folder.path, split, expected)

    def reader(split: Split) -> Callable[[], Iterator[Document]]:
        return lambda: itertools.chain.from_iterable(
            read_jsonl(file, bad_lines) for file in found[split]
        )

    streams: dict[Split, DocumentStream] = {s: DocumentStream(reader(s)) for s in needed}
    origins = {split: folder.origin(found[split]) for split in needed}
    if halves_validation:
        streams |= halve_documents(streams["validation"])
        origins["test"] = origins["validation"]
    used = [file for split in needed for file in found[split]]
    remarks = folder.remarks(used, "not in a file of this folder named after a split")
    return Corpus(name, hash_files(used), streams, bad_lines.counts, remarks, origins)


def halve_documents(held_out: DocumentStream) -> dict[Split, DocumentStream]:
    """Divide held-out documents alternately: first to validation, second to test, and so on.

    The rule for C4 and peS2o, which are published without a test split. Contiguous halves would
    differ in kind: the validation shards of peS2o hold abstracts first and whole papers last.
    """
    return {
        "validation": DocumentStream(lambda: itertools.islice(held_out, 0, None, 2)),
        "test": DocumentStream(lambda: itertools.islice(held_out, 1, None, 2)),
    }


def read_jsonl(path: Path, bad_lines: BadLines, label: str = "") -> Iterator[Document]:
    """Yield the documents of a JSONL file, with its label and the line number as ids.

    Args:
        path: The file.
        bad_lines: What to do with unusable lines.
        label: Distinguishes the file from others of the corpus; its name if empty.

    Raises:
        DataError: If the file is missing or damaged, or a line is unusable and not skipped.
    """
    return documents_of_lines(read_lines(path), printable(str(path)), bad_lines, label)


def documents_of_lines(
    lines: Iterable[bytes | str], source: str, bad_lines: BadLines, label: str = ""
) -> Iterator[Document]:
    """Yield the document of each JSON line.

    Args:
        lines: Lines of JSON.
        source: Path or address they come from.
        bad_lines: What to do with unusable lines.
        label: Prefix of document ids; the last part of `source` if empty.

    Raises:
        DataError: If a line is unusable and not skipped; the message says what is wrong.
    """
    name = label or source.rsplit("/", 1)[-1]
    n_bad = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            text = _text_of_line(line)
        except ValueError as error:
            if not bad_lines.skip:
                raise DataError(
                    f"{source}: line {number}: {error}; fix it, or skip such lines with "
                    "`lab data prepare PATH --name NAME --skip-bad-lines`"
                ) from None
            n_bad += 1
            # Files are read several times; the highest count is that of a complete read.
            bad_lines.counts[name] = max(n_bad, bad_lines.counts.get(name, 0))
            continue
        yield Document(f"{name}:{number}", text)


def _divide(name: str, source: Path, files: dict[str, Path], bad_lines: BadLines) -> Corpus:
    """Divide the lines of files, given by label, with `documents.assign_splits`.

    The files are read once to learn the documents' lengths, then once per split; no text is kept.
    """

    def read() -> Iterator[Document]:
        return itertools.chain.from_iterable(
            read_jsonl(file, bad_lines, label) for label, file in files.items()
        )

    split_of = assign_splits({document.id: document.n_bytes for document in read()}, str(source))

    def reader(split: Split) -> Callable[[], Iterator[Document]]:
        return lambda: (d for d in read() if split_of[d.id] == split)

    return Corpus(
        name,
        hash_files(files.values()),
        {split: DocumentStream(reader(split)) for split in SPLITS},
        bad_lines.counts,
        origins=dict.fromkeys(SPLITS, str(source)),
    )


def _reject_nested_split(folder: SourceFolder) -> None:
    """Reject a split in a subfolder: dividing it automatically would mix its parts."""
    for file in folder.lines:
        parents = file.relative_to(folder.path).parts[:-1]
        names = [file.name, *(f"{parent}." for parent in parents)]
        if any(prefix.match(name) for prefix in SPLIT_PREFIX.values() for name in names):
            raise DataError(
                f"{folder.path}: {folder.name_of(file)} is named after a split but in a "
                f"subfolder; give {file.parent}, or one folder with train*, validation* and test* "
                "files"
            )


def _of_split(files: Iterable[Path], split: Split) -> list[Path]:
    return [file for file in files if SPLIT_PREFIX[split].match(file.name)]


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
