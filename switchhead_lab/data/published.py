"""Reads the paper's corpora from local copies of their published files.

wikitext103   wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens, or .raw
c4            c4-train.*.json.gz and c4-validation.*.json.gz of the configuration "en"
pes2o         train-*.json.gz and validation-*.json.gz of version 2
enwik8        the first 100,000,000 bytes of an English Wikipedia dump
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from switchhead_lab.data.documents import (
    HELD_OUT_FRACTION,
    SPLITS,
    Corpus,
    Document,
    DocumentStream,
    Split,
)
from switchhead_lab.data.file_errors import printable, reading
from switchhead_lab.data.jsonl import (
    BadLines,
    consists_of_json_lines,
    is_jsonl,
    read_jsonl_file,
    read_jsonl_folder,
)
from switchhead_lab.data.source_files import list_folder, missing_split, name_some
from switchhead_lab.data.text_reading import decode_text, hash_files, read_lines
from switchhead_lab.data.texts import read_text_file, read_text_folder
from switchhead_lab.errors import DataError

PublishedName = Literal["wikitext103", "c4", "pes2o", "enwik8"]
PUBLISHED: tuple[PublishedName, ...] = get_args(PublishedName)

WIKITEXT_SPLITS: dict[Split, str] = {"train": "train", "validation": "valid", "test": "test"}
WIKITEXT_SUFFIXES = (".tokens", ".raw")
ENWIK8_BYTES = 100_000_000
ENWIK8_ORIGIN = (
    "the first 100,000,000 bytes of an English Wikipedia dump, the file enwik8 in "
    "http://mattmahoney.net/dc/enwik8.zip"
)

_HEADING = re.compile(r" = (?!= )\S(.*\S)? = $")


def read_local(name: str, path: Path, bad_lines: BadLines) -> Corpus:
    """Read a corpus from local files: in its published form, or else by the type of its files.

    Args:
        name: Name of the corpus; those of `PUBLISHED` have their own forms.
        path: File or folder.
        bad_lines: What to do with unusable lines of JSONL files.

    Raises:
        DataError: If the files are missing, not those of a published corpus, or unusable.
    """
    with reading(path):
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; give the path of a text to prepare")
        if not path.is_dir() and not path.is_file():
            raise DataError(f"{path}: not a regular file; write its contents to one and give that")
        if name == "wikitext103":
            return read_wikitext(name, path)
        if name == "enwik8":
            return read_enwik8(name, path)
        if name in PUBLISHED:
            folder = list_folder(_need_folder(name, path))
            return read_jsonl_folder(name, folder, bad_lines, halves_validation=True)
        return _read_own(name, path, bad_lines)


def consists_of_lines(name: str, path: Path) -> bool:
    """Return whether a local corpus is read from JSONL files, whose bad lines can be skipped."""
    return name in ("c4", "pes2o") or (name not in PUBLISHED and is_jsonl(path))


def _read_own(name: str, path: Path, bad_lines: BadLines) -> Corpus:
    if path.is_file():
        if is_jsonl(path):
            return read_jsonl_file(name, path, bad_lines)
        return read_text_file(name, path)
    folder = list_folder(path)
    if consists_of_json_lines(folder):
        return read_jsonl_folder(name, folder, bad_lines)
    return read_text_folder(name, folder)


def read_wikitext(name: str, folder: Path) -> Corpus:
    """Read WikiText: its own split, one document per article, in order.

    The paper's code reads the word-level form (.tokens, rare words replaced by <unk>), so use that
    to compare with it; the raw form is accepted too.

    Raises:
        DataError: If a split is missing or present in both forms.
    """
    _need_folder(name, folder)
    files: dict[Split, Path] = {}
    for split, word in WIKITEXT_SPLITS.items():
        expected = [f"wiki.{word}{suffix}" for suffix in WIKITEXT_SUFFIXES]
        found = [folder / file for file in expected if (folder / file).is_file()]
        if not found:
            raise missing_split(folder, split, " or ".join(expected))
        if len(found) > 1:
            raise DataError(f"{folder}: holds {' and '.join(expected)}; keep one of them")
        files[split] = found[0]
    if len({file.suffix for file in files.values()}) > 1:
        names = ", ".join(file.name for file in files.values())
        raise DataError(f"{folder}: mixes two forms of the corpus ({names}); keep one form")

    def reader(file: Path) -> Callable[[], Iterator[Document]]:
        return lambda: articles(_decoded_lines(file), file.name)

    streams = {split: DocumentStream(reader(file)) for split, file in files.items()}
    origins = {split: str(file) for split, file in files.items()}
    remarks = _describe_others(folder, files.values())
    return Corpus(name, hash_files(files.values()), streams, remarks=remarks, origins=origins)


def articles(lines: Iterable[str], source: str) -> Iterator[Document]:
    r"""Yield the articles of WikiText; joined, they equal the input.

    An article begins at a level-1 heading, ` = Title = `, between two blank lines; elsewhere, such
    a line is text.

    Args:
        lines: Lines with their ends; a blank one is " \n".
        source: Name of the file; the documents are numbered within it.
    """
    article: list[str] = []
    number = 0
    blank_before = True
    for line, after in itertools.pairwise(itertools.chain(lines, [""])):
        is_heading = blank_before and not after.strip() and _HEADING.match(line.rstrip("\n"))
        if is_heading and any(before.strip() for before in article):
            yield Document(f"{source}:{number}", "".join(article))
            article, number = [], number + 1
        article.append(line)
        blank_before = not line.strip()
    if any(line.strip() for line in article):
        yield Document(f"{source}:{number}", "".join(article))


def read_enwik8(name: str, path: Path) -> Corpus:
    """Cut enwik8 by bytes: the first 90 % train, then 5 % validation and 5 % test.

    At the published size these are 90, 5 and 5 million bytes, as usual in the literature. A cut
    that would fall within a character is moved before it. Each part is one document.

    Args:
        name: Name of the corpus.
        path: The file, or the folder that holds it as `enwik8`; a shorter file is cut in
            the same proportions.

    Raises:
        DataError: If the file is missing, longer than enwik8, too short or not UTF-8.
    """
    file = path / "enwik8" if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{path}: holds no file enwik8; expected {ENWIK8_ORIGIN}")
    n_bytes = file.stat().st_size
    if n_bytes > ENWIK8_BYTES:
        raise DataError(
            f"{file}: {n_bytes:,} bytes, more than enwik8 has; expected {ENWIK8_ORIGIN}"
        )
    cuts = [0]
    with reading(file), file.open("rb") as contents:
        for remaining in (2 * HELD_OUT_FRACTION, HELD_OUT_FRACTION):
            cut = n_bytes - round(remaining * n_bytes)
            contents.seek(max(0, cut - 3))
            near = contents.read(min(cut, 3) + 1)
            while near and cut > 0 and near[-1] & 0xC0 == 0x80:
                near, cut = near[:-1], cut - 1
            cuts.append(cut)
    cuts.append(n_bytes)
    if len(set(cuts)) < len(cuts):
        raise DataError(f"{file}: {n_bytes} bytes are too few to cut; expected {ENWIK8_ORIGIN}")

    def reader(split: Split, start: int, stop: int) -> Callable[[], Iterator[Document]]:
        return lambda: iter([_read_part(file, split, start, stop)])

    streams = {
        split: DocumentStream(reader(split, start, stop))
        for split, (start, stop) in zip(SPLITS, itertools.pairwise(cuts), strict=True)
    }
    return Corpus(
        name,
        hash_files([file]),
        streams,
        remarks=_describe_others(path, [file]) if path.is_dir() else [],
        origins=dict.fromkeys(SPLITS, str(file)),
    )


def _read_part(file: Path, split: Split, start: int, stop: int) -> Document:
    with reading(file), file.open("rb") as contents:
        contents.seek(start)
        part = contents.read(stop - start)
    return Document(f"{file.name}:{split}", decode_text(part, file, offset=start))


def _decoded_lines(file: Path) -> Iterator[str]:
    offset = 0
    for line in read_lines(file):
        yield decode_text(line, file, offset=offset)
        offset += len(line)


def _describe_others(folder: Path, used: Iterable[Path]) -> list[str]:
    """Describe the other files in a published corpus's folder, in at most one line."""
    kept = set(used)
    with reading(folder):
        others = [printable(path.name) for path in folder.iterdir() if path not in kept]
    return [f"ignored (not part of the published corpus): {name_some(others)}"] if others else []


def _need_folder(name: str, path: Path) -> Path:
    if not path.is_dir():
        raise DataError(f"{path}: a file; {name} is a folder with at least one file per split")
    return path
