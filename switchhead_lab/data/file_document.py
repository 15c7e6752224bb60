"""Documents that each use reads from their text file, so that no large text is held in memory."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.data.file_errors import reading
from switchhead_lab.data.text_reading import read_chunks
from switchhead_lab.errors import DataError

FileVersion = tuple[int, int]
"""Size and modification time of a file, bytes and nanoseconds."""


@dataclass(frozen=True)
class FileDocument:
    """A text file, or a part of one, that was read once and is read again for each use.

    Attributes:
        id: Unique within its corpus.
        path: The file.
        start: Where the part begins, in UTF-8 bytes of the text; the start of a line.
        n_bytes: Length of the part, in UTF-8 bytes.
        sha256: SHA-256 of the part in UTF-8.
        is_blank: Whether it is empty or only white space.
        version: Version of the file that was read.
    """

    id: str
    path: Path
    start: int
    n_bytes: int
    sha256: str
    is_blank: bool
    version: FileVersion

    def blocks(self) -> Iterator[str]:
        """Yield the text in chunks of whole lines; see `text_reading.read_chunks`.

        Raises:
            DataError: If the file has changed since it was first read, or cannot be read.
        """
        _require_version(self.path, self.version)
        yield from read_chunks(self.path, self.start, self.n_bytes)
        _require_version(self.path, self.version)

    def part(self, part_id: str, start: int, stop: int) -> "FileDocument":
        """Return a part of the document as a document of its own.

        Args:
            part_id: Unique within its corpus.
            start: Where the part begins, in UTF-8 bytes of the text; the start of a line.
            stop: Where it ends; the start of a later line, or the end of the text.

        Raises:
            DataError: If the file has changed since it was first read, or cannot be read.
        """
        part = scan_document(part_id, self.path, start, stop - start)
        _require_version(self.path, self.version)
        return part


def scan_document(
    document_id: str, path: Path, start: int = 0, n_bytes: int = sys.maxsize
) -> FileDocument:
    """Read a document once, to measure, hash and validate it.

    Args:
        document_id: Unique within its corpus.
        path: The file.
        start: Where the document begins, in UTF-8 bytes of the text; the start of a line.
        n_bytes: Maximum length, in UTF-8 bytes; ends with a line or the text.

    Raises:
        DataError: If the file is missing, unreadable, binary or not UTF-8, or changes meanwhile.
    """
    version = _version_of(path)
    hasher, n_read, is_blank = hashlib.sha256(), 0, True
    for chunk in read_chunks(path, start, n_bytes):
        contents = chunk.encode("utf-8")
        hasher.update(contents)
        n_read += len(contents)
        is_blank = is_blank and not chunk.strip()
    _require_version(path, version)
    return FileDocument(document_id, path, start, n_read, hasher.hexdigest(), is_blank, version)


def _version_of(path: Path) -> FileVersion:
    with reading(path):
        status = path.stat()
    return status.st_size, status.st_mtime_ns


def _require_version(path: Path, version: FileVersion) -> None:
    if _version_of(path) != version:
        raise DataError(f"{path}: changed while it was being read; run the command again")
