"""Reads the exact text of files, decompressed and without byte order marks."""

import codecs
import gzip
import hashlib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from switchhead_lab.config.identity import hash_of
from switchhead_lab.data.file_errors import READ_ERRORS, printable, reading
from switchhead_lab.errors import DataError, reason_of

CHUNK_BYTES = 2**20
"""Texts are read in chunks of this length plus the rest of the line."""

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LONGEST_MARK = 4


def read_text(path: Path) -> str:
    """Read a text exactly, without newline translation; a byte order mark is dropped.

    Raises:
        DataError: If the file is missing, unreadable, empty, binary or not UTF-8.
    """
    text = "".join(read_chunks(path))
    if not text.strip():
        raise empty_text(path)
    return text


def read_chunks(path: Path, start: int = 0, n_bytes: int = sys.maxsize) -> Iterator[str]:
    """Yield a text as `read_text` reads it, in chunks of whole lines.

    Args:
        path: The file.
        start: Where to begin, in UTF-8 bytes of the text; the start of a line.
        n_bytes: How much to read, in UTF-8 bytes; up to the end of a line or of the text.

    Raises:
        DataError: If the file is missing, unreadable, binary or not UTF-8.
    """
    for offset, contents in _read_bytes(path, start, n_bytes):
        yield _decode_utf8(contents, path, offset)


def find_line_starts(path: Path, limits: Sequence[int]) -> list[int]:
    """Return the start of the last line that starts at or before each limit.

    Args:
        path: The file.
        limits: In UTF-8 bytes of the text, ascending.

    Raises:
        DataError: If the file cannot be read.
    """
    found, start = [0] * len(limits), 0
    for _, contents in _read_bytes(path):
        for place, limit in enumerate(limits):
            n_before = contents.rfind(b"\n", 0, max(limit - start, 0)) + 1
            if n_before:
                found[place] = start + n_before
        start += len(contents)
        if start >= limits[-1]:
            break
    return found


def empty_text(path: Path) -> DataError:
    """Return the error for a file without text."""
    return DataError(f"{path}: empty; remove it or give it some text")


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
            raise _not_as_marked(path, error) from None
        _reject_nul(text.find("\0"), path)
        return text
    if not offset and contents.startswith(codecs.BOM_UTF8):
        offset = len(codecs.BOM_UTF8)
        contents = contents[offset:]
    return _decode_utf8(contents, path, offset)


def _decode_utf8(contents: bytes, path: Path, offset: int) -> str:
    # Byte 0 ends a document in the byte tokenizer; it also reveals UTF-16 and binary files.
    n_before = contents.find(0)
    _reject_nul(n_before + offset if n_before >= 0 else -1, path)
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
        with _open_utf8(path) as (file, _):
            for line in file:
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


@contextmanager
def _open_utf8(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a text as UTF-8 after its byte order mark; yield the file and the length of the mark.

    Reading raises UnicodeDecodeError if the contents do not fit a mark of UTF-16 or UTF-32.
    """
    with open_file(path) as file:
        head = file.read(_LONGEST_MARK)
        if file.seekable():
            file.seek(0)
            yield _after_mark(file, head)
            return
    with open_file(path) as file:
        yield _after_mark(file, head)


def _after_mark(file: IO[bytes], head: bytes) -> tuple[IO[bytes], int]:
    wide = _wide_encoding(head)
    if wide is not None:
        return io.BufferedReader(_RecodedFile(file, wide)), 0
    n_mark_bytes = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    file.read(n_mark_bytes)
    return file, n_mark_bytes


class _RecodedFile(io.RawIOBase):
    """A file in UTF-16 or UTF-32 with a byte order mark, recoded as UTF-8 line by line."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._n_read = 0
        self._recoded = io.BytesIO()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not (n_bytes := self._recoded.readinto(buffer)):
            line = self._file.readline(CHUNK_BYTES)
            self._recoded = io.BytesIO(self._decode(line).encode("utf-8"))
            if not line:
                return 0
        return n_bytes

    def _decode(self, line: bytes) -> str:
        n_pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(line, final=not line)
        except UnicodeDecodeError as error:
            error.start += self._n_read - n_pending  # from the start of the file
            raise
        self._n_read += len(line)
        return text


def _read_bytes(
    path: Path, start: int = 0, n_bytes: int = sys.maxsize
) -> Iterator[tuple[int, bytes]]:
    """Yield offsets in the file and contents of the chunks of `read_chunks`, as UTF-8."""
    with reading(path), _open_utf8(path) as (file, n_mark_bytes):
        offset = start + n_mark_bytes
        try:
            _skip(file, start)
            while contents := file.read(min(n_bytes, CHUNK_BYTES)):
                contents += file.readline(n_bytes - len(contents))
                yield offset, contents
                offset += len(contents)
                n_bytes -= len(contents)
        except UnicodeDecodeError as error:
            raise _not_as_marked(path, error) from None


def _skip(file: IO[bytes], n_bytes: int) -> None:
    if file.seekable():
        file.seek(n_bytes, os.SEEK_CUR)
        return
    while n_bytes and (skipped := file.read(min(n_bytes, CHUNK_BYTES))):
        n_bytes -= len(skipped)


def _wide_encoding(contents: bytes) -> str | None:
    return next((name for mark, name in _WIDE_MARKS if contents.startswith(mark)), None)


def _not_as_marked(path: Path, error: UnicodeDecodeError) -> DataError:
    encoding = error.encoding[: len("utf-16")].upper()  # without the byte order
    return DataError(
        f"{path}: not {encoding} as its byte order mark says ({error.reason} at offset "
        f"{error.start}); convert it to UTF-8"
    )


def _reject_nul(offset: int, path: Path) -> None:
    if offset >= 0:
        raise DataError(
            f"{path}: binary, not text (NUL byte at offset {offset}); "
            "remove it or convert it to UTF-8"
        )
