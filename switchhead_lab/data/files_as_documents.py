"""Reads text files as documents, by the rules of a corpus."""

import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from switchhead_lab.config.data import TextData
from switchhead_lab.data.documents import Document
from switchhead_lab.data.file_errors import printable, reading
from switchhead_lab.data.jsonl import BadLines, is_jsonl, read_jsonl
from switchhead_lab.data.published import articles
from switchhead_lab.data.text_reading import decode_text, read_text
from switchhead_lab.errors import DataError

STDIN = "-"


def read_documents(paths: Sequence[str], data: TextData) -> list[Document]:
    """Read files as documents: one per text file, or one per line of a JSONL file.

    If the corpus is WikiText-103, files are divided into articles. A file with the text of a split
    thus gives the documents, and the tokens, that the split was prepared from.

    Args:
        paths: Files, plain or compressed as for `lab data prepare`; "-" for a text on stdin.
        data: Corpus whose rules apply.

    Raises:
        DataError: If a file is a folder, missing, unreadable, binary, not UTF-8 or without text, or
            stdin is named twice.
    """
    if paths.count(STDIN) > 1:
        raise DataError(f'"{STDIN}" is given {paths.count(STDIN)} times; stdin can be read once')
    documents = [document for path in paths for document in _read(path, data)]
    if not any(document.text.strip() for document in documents):
        raise DataError(f"{', '.join(map(printable, paths))}: no text; give a file that has some")
    return documents


def _read(path: str, data: TextData) -> Iterator[Document]:
    if path == STDIN:
        name = "stdin"
        with reading(Path(name)):
            contents = sys.stdin.buffer.read() if sys.stdin is not None else b""
        text = decode_text(contents, Path(name))
    elif Path(path).is_dir():
        raise DataError(f"{printable(path)}: a folder; give the files in it")
    elif is_jsonl(Path(path)):
        yield from read_jsonl(Path(path), BadLines())
        return
    else:
        name, text = printable(Path(path).name), read_text(Path(path))
    if data.corpus == "wikitext103":
        yield from articles(io.StringIO(text, newline="\n"), name)
    else:
        yield Document(name, text)
