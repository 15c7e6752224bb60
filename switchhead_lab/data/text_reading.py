"""Reads the exact text of files, decompressed and without byte order marks."""

import codecs
import gzip
import hashlib
import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from switchhead_lab.config.identity import hash_of
from switchhead_lab.data.file_errors import READ_ERRORS, printable, reading
from switchhead_lab.errors import DataError, reason_of

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """Read a text exactly, without newline translation; a byte order mark is dropped.

    Raises:
        DataError: If the file is missing, unreadable, empty, binary or not UTF-8.
    """
    with reading(path), open_file(path) as file:
        contents = file.read()
    text = decode_text(contents, path)
    if not text.strip():
        raise DataError(f"{path}: empty; remove it or give it some text")
    return text


def decode_text(contents: bytes, path: Path, *, offset: int = 0) -> str:
    """Decode UTF-8 exactly, or the encoding given by a byte order mark at the start of the file.

    Args:
        contents: Bytes of a file, from `offset` on.
        path: The file, for errors.
        offset: Their offset in the file.

    Raises:
        DataError: If they are binary or not UTF-8; the message names file and offset.
    """
    wide = None if offset else _wide_encoding(contents)
    if wide is not None:
        try:
            text = contents.decode(wide)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: not {wide.upper()} as its byte order mark says ({error.reason} at offset "
                f"{error.start}); convert it to UTF-8"
            ) from None
        _reject_nul(text.find("\0"), path)
        return text
    # Byte 0 ends a document in the byte tokenizer; it also reveals UTF-16 and binary files.
    n_before = contents.find(0)
    _reject_nul(n_before + offset if n_before >= 0 else -1, path)
    if not offset and contents.startswith(codecs.BOM_UTF8):
        offset = len(codecs.BOM_UTF8)
        contents = contents[offset:]
    try:
        return contents.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 (byte 0x{contents[error.start]:02x} at offset "
            f"{offset + error.start}); convert it to UTF-8"
        ) from None


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file in UTF-8, decompressed if it ends in .gz or .zst.

    Raises:
        DataError: If the file cannot be read to its end.
    """
    n_lines = 0
    try:
        with open_file(path) as file:
            for line in _utf8_lines(file):
                yield line
                n_lines += 1
    except (*READ_ERRORS, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read after line {n_lines}: {reason_of(error)}; get the file again"
        ) from None


def open_file(path: Path) -> IO[bytes]:
    """Open a file for reading; decompresses .gz and .zst, in any case."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if suffix == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def hash_files(files: Iterable[Path]) -> str:
    """Return one SHA-256 over the names and bytes of files, in order.

    Raises:
        DataError: If a file cannot be read.
    """
    hashes = []
    for path in files:
        with reading(path), path.open("rb") as file:
            hashes.append([printable(path.name), hashlib.file_digest(file, "sha256").hexdigest()])
    return hash_of(hashes)


def _utf8_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    rest = iter(lines)
    first = next(rest, b"")
    wide = _wide_encoding(first)
    if wide is None:
        # With the mark, the first line would not be valid JSON.
        yield from filter(None, [first.removeprefix(codecs.BOM_UTF8)])
        yield from rest
        return
    decoder = codecs.getincrementaldecoder(wide)()
    pending = ""
    for part in itertools.chain([first], rest):
        *complete, pending = (pending + decoder.decode(part)).split("\n")
        yield from (f"{line}\n".encode() for line in complete)
    pending += decoder.decode(b"", final=True)
    yield from filter(None, [pending.encode("utf-8")])


def _wide_encoding(contents: bytes) -> str | None:
    return next((name for mark, name in _WIDE_MARKS if contents.startswith(mark)), None)


def _reject_nul(offset: int, path: Path) -> None:
    if offset >= 0:
        raise DataError(
            f"{path}: binary, not text (NUL byte at offset {offset}); "
            "remove it or convert it to UTF-8"
        )
