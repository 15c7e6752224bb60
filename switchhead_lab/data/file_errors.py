"""Errors for failed reads of data, with the file and a remedy.

`tracking.atomic` does the same for failed writes.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from switchhead_lab.errors import DataError, reason_of

CHECK_PATH = "check the path, its permissions and the disk"
READ_ERRORS = (OSError, EOFError, zlib.error)
"""Errors of reading a file; the last two come from damaged .gz files."""


@contextmanager
def reading(path: Path, remedy: str = CHECK_PATH) -> Iterator[None]:
    """Turn a failed read in the block into a DataError.

    Args:
        path: File or folder to read; an error that names another file is reported for that one.
        remedy: What to do.

    Raises:
        DataError: If the block raises one of `READ_ERRORS`.
    """
    try:
        yield
    except READ_ERRORS as error:
        raise read_failure(path, error, remedy) from None


def read_failure(path: Path, error: Exception, remedy: str) -> DataError:
    """Return the error for a file or folder that cannot be read."""
    # When reading a folder, name the file that failed.
    named = getattr(error, "filename", None)
    culprit = printable(str(named if isinstance(named, str) else path))
    return DataError(f"{culprit}: cannot be read: {reason_of(error)}; {remedy}")


def printable(name: str) -> str:
    r"""Return a file name as valid Unicode; bytes in it that are not UTF-8 become `\xNN`.

    Python decodes such bytes to lone surrogates, which can be neither hashed nor written to JSON.
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
