"""Failures of the operating system while data is read or written, as errors that say what to do."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from switchhead_lab.errors import DataError, LabError, StorageError, WorkspaceError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
CHECK_PATH = "check the path, its permissions and the disk"


@contextmanager
def reading(path: Path, remedy: str = CHECK_PATH) -> Iterator[None]:
    """Turn any OSError of the block into a DataError.

    Args:
        path: What is read; an error that names a file of its own names that one instead.
        remedy: What to do.

    Raises:
        DataError: If the block raises an OSError.
    """
    try:
        yield
    except OSError as error:
        raise read_failure(path, error, remedy) from None


@contextmanager
def writing(path: Path, n_bytes: int | None = None) -> Iterator[None]:
    """Turn any OSError of the block into a WorkspaceError, or a StorageError of a full disk.

    Args:
        path: What is written.
        n_bytes: Bytes it needs, where known.

    Raises:
        WorkspaceError: If the block raises an OSError.
        StorageError: If the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise write_failure(path, error, n_bytes) from None


def read_failure(path: Path, error: OSError, remedy: str = CHECK_PATH) -> DataError:
    """Return the error of something that cannot be read."""
    # The file within a folder is what the user has to look at.
    culprit = printable(str(error.filename if isinstance(error.filename, str) else path))
    return DataError(f"{culprit}: cannot be read: {reason_of(error)}; {remedy}")


def write_failure(
    path: Path, error: OSError, n_bytes: int | None = None, *, at_least: bool = False
) -> LabError:
    """Return the error of something that cannot be written: a StorageError where the disk is full.

    Args:
        path: What was to be written.
        error: Why it could not be.
        n_bytes: Bytes it needs, where known.
        at_least: It needs these bytes and more.
    """
    more = "more than " if at_least else ""
    needed = f" ({more}{n_bytes:,} bytes are needed{_free(path)})" if n_bytes else ""
    if error.errno in _DISK_FULL:
        remedy = "free some space, or set data_dir in lab.toml to a folder on another disk"
    else:
        remedy = "make the folder writable, or set data_dir in lab.toml to another one"
    kind = StorageError if error.errno in _DISK_FULL else WorkspaceError
    return kind(f"{path}: cannot be written: {reason_of(error)}{needed}; {remedy}")


def reason_of(error: BaseException) -> str:
    """Return why an operation failed, in one line."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(reason).split()).rstrip(".")


def printable(name: str) -> str:
    r"""Return a file name as Unicode; bytes in it that are not UTF-8 become `\xNN`.

    Such names reach Python as lone surrogates, which can be neither hashed nor written to JSON.
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _free(path: Path) -> str:
    for folder in path.parents:
        try:
            return f", {shutil.disk_usage(folder).free:,} are free"
        except OSError:
            continue
    return ""
