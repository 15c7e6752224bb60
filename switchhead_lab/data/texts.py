"""User texts: one file that is cut into splits, or a folder of whole documents."""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from switchhead_lab.data.documents import (
    HELD_OUT_FRACTION,
    SPLIT_NAMES,
    SPLITS,
    Corpus,
    CorpusDocument,
    Split,
    corpus_of_documents,
    hash_documents,
)
from switchhead_lab.data.file_document import FileDocument, scan_document
from switchhead_lab.data.file_errors import printable
from switchhead_lab.data.source_files import (
    TEXT,
    TEXT_SUFFIXES,
    SourceFolder,
    ends_in,
    name_some,
)
from switchhead_lab.data.text_reading import empty_text, find_line_starts
from switchhead_lab.errors import DataError

_SPLIT_SUFFIX = ends_in(".txt")
_N_LINES_TO_JUDGE = 3


def read_text_folder(name: str, folder: SourceFolder) -> Corpus:
    """Read a folder of texts.

    A folder with train.txt, validation.txt (or valid.txt, val.txt) and test.txt keeps that
    division, as does one with subfolders of these names. In any other folder, every visible text
    file at any depth is a document: .txt, .md and .text, plain or compressed (.gz, .zst), in any
    case.

    Raises:
        DataError: If it holds no text, a text is unusable, or they cannot be divided.
    """
    if not folder.texts:
        raise DataError(
            f"{folder.path}: holds no {', '.join(TEXT_SUFFIXES)} file and no JSONL; add text files "
            f"or give another path{_found_instead(folder)}"
        )
    own_split = _find_own_split(folder)
    if not own_split:
        documents = _read_documents(folder, folder.texts)
        corpus = corpus_of_documents(name, documents, str(folder.path))
        corpus.remarks.extend(folder.remarks(folder.texts, "JSON beside texts"))
        corpus.remarks.extend(_describe_json(documents))
        return corpus
    splits = {split: _read_documents(folder, own_split[split]) for split in SPLITS}
    documents = [document for split in SPLITS for document in splits[split]]
    used = [file for files in own_split.values() for file in files]
    return Corpus(
        name,
        hash_documents(documents),
        splits,
        remarks=[
            *folder.remarks(used, "not named after a split"),
            *_describe_json(documents),
        ],
        origins={split: folder.origin(files) for split, files in own_split.items()},
    )


def read_text_file(name: str, path: Path) -> Corpus:
    """Cut a text file at line ends: 90 % train, then 5 % validation and 5 % test.

    Raises:
        DataError: If it is empty, not UTF-8 text, or has too few lines.
    """
    name_in_ids = printable(path.name)
    whole = _scan(name_in_ids, path)
    limits = [
        round(whole.n_bytes * (1 - held_out))
        for held_out in (2 * HELD_OUT_FRACTION, HELD_OUT_FRACTION)
    ]
    cuts = [0, *find_line_starts(path, limits), whole.n_bytes]
    splits: dict[Split, list[CorpusDocument]] = {}
    for split, (start, stop) in zip(SPLITS, itertools.pairwise(cuts), strict=True):
        part = whole.part(f"{name_in_ids}:{split}", start, stop)
        if part.is_blank:
            raise DataError(
                f"{path}: {split} would be empty after cutting the text at line ends; give "
                "more or shorter lines, or a folder with train.txt, validation.txt and test.txt"
            )
        splits[split] = [part]
    return Corpus(
        name,
        whole.sha256,
        splits,
        remarks=[*_describe_suffix(path), *_describe_json([whole])],
        origins=dict.fromkeys(SPLITS, str(path)),
    )


def _find_own_split(folder: SourceFolder) -> dict[Split, list[Path]]:
    """Return the user's own split, by files or by folders; empty if there is none."""
    files: dict[Split, list[Path]] = {split: [] for split in SPLITS}
    folders: dict[Split, list[Path]] = {split: [] for split in SPLITS}
    for file in folder.texts:
        first, *others = file.relative_to(folder.path).parts
        split = _split_named(first if others else TEXT.sub("", first))
        if split is not None:
            (folders if others else files)[split].append(file)
    if any(_SPLIT_SUFFIX.search(file.name) for file in files["train"]) or all(files.values()):
        return _require_one_each(folder.path, files)
    n_folders = sum(map(bool, folders.values()))
    if not folders["train"] or n_folders < 2:
        _reject_nested_split(folder)
        return {}
    for split, found in folders.items():
        if not found:
            raise DataError(
                f"{folder.path}: its folders are splits, but none is {SPLIT_NAMES[split][0]}; add "
                "it, or rename the folder train to have whole documents divided automatically"
            )
    return folders


def _split_named(word: str) -> Split | None:
    return next((split for split, names in SPLIT_NAMES.items() if word.lower() in names), None)


def _reject_nested_split(folder: SourceFolder) -> None:
    """Reject a split in a subfolder: dividing it automatically would mix its parts."""
    splits_in: dict[Path, set[Split | None]] = defaultdict(set)
    for file in folder.texts:
        splits_in[file.parent].add(_split_named(TEXT.sub("", file.name)))
    for parent, found in splits_in.items():
        if found.issuperset(SPLITS):
            raise DataError(
                f"{folder.path}: the files of a split are in {parent}; give that path, or rename "
                "them to have whole documents divided automatically"
            )


def _require_one_each(folder: Path, files: dict[Split, list[Path]]) -> dict[Split, list[Path]]:
    for split, found in files.items():
        if not found:
            raise DataError(
                f"{folder}: holds {files['train'][0].name} but no {SPLIT_NAMES[split][0]}.txt; add "
                f"it, or rename {files['train'][0].name} to have whole documents divided "
                "automatically"
            )
        if len(found) > 1:
            names = " and ".join(sorted(file.name for file in found))
            raise DataError(f"{folder}: holds {names}; keep one of them")
    return files


def _read_documents(folder: SourceFolder, files: Iterable[Path]) -> list[FileDocument]:
    return [_scan(folder.name_of(file), file) for file in files]


def _scan(document_id: str, path: Path) -> FileDocument:
    document = scan_document(document_id, path)
    if document.is_blank:
        raise empty_text(path)
    return document


def _describe_suffix(path: Path) -> list[str]:
    """Warn, in at most one line, that a table, web page or the like is read verbatim."""
    if not path.suffix or TEXT.search(path.name):
        return []
    return [
        f"read as plain text, markup and separators included, since no reader handles the suffix "
        f"{path.suffix}: {printable(path.name)}; convert it to .txt or .jsonl if that is not "
        "intended"
    ]


def _describe_json(documents: Iterable[CorpusDocument]) -> list[str]:
    """Warn, in at most one line, about texts that look like JSON lines under another suffix."""
    names = [document.id for document in documents if _is_json_lines(document)]
    if not names:
        return []
    return [
        f"read as text, although the lines are JSON objects with a field 'text': "
        f"{name_some(names)}; give such files the suffix .jsonl to have the field read"
    ]


def _is_json_lines(document: CorpusDocument) -> bool:
    lines = (line for block in document.blocks() for line in block.split("\n") if line.strip())
    for line in itertools.islice(lines, _N_LINES_TO_JUDGE):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return False
        if not isinstance(value, dict) or "text" not in value:
            return False
    return True


def _found_instead(folder: SourceFolder) -> str:
    found = [name for names in folder.ignored.values() for name in names]
    return f"; found {name_some(found)}" if found else ""
