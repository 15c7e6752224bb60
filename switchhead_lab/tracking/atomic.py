"""Atomic, durable writes: a reader sees the old or the new contents, never a mix."""

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from switchhead_lab.errors import LabError, StorageError, WorkspaceError, reason_of

_DIRECTORY_REMEDY = "choose a writable folder in lab.toml"
# Errors of a disk that refuses a write, with remedies.
_STORAGE_REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there or raise the quota",
    errno.EFBIG: "raise the limit on file sizes (`ulimit -f`)",
    errno.EROFS: "mount it writable",
    errno.EIO: "check the disk",
    errno.ESTALE: "mount it again",
}


def write_error(
    path: Path, n_bytes: int | None, error: OSError, *, at_least: bool = False
) -> LabError:
    """Return an error that says why a file could not be written and what to do.

    Args:
        path: The file or folder.
        n_bytes: Size of the write; None if unknown or negligible.
        error: The system's error.
        at_least: `n_bytes` is a lower bound.

    Returns:
        A StorageError if the disk refuses the write, else a WorkspaceError.
    """
    reason = reason_of(error)
    remedy = _STORAGE_REMEDIES.get(error.errno or 0)
    if remedy is None:
        return WorkspaceError(
            f"{path}: cannot be written: {reason}; make {path.parent} and its contents writable, "
            "then run the same command again"
        )
    bound = "more than " if at_least else ""
    needed = "" if n_bytes is None else f"{bound}{n_bytes:,} bytes needed, "
    return StorageError(
        f"{path}: cannot be written: {reason}; {needed}{_free_text(path)} in {path.parent}; "
        f"{remedy}, then run the same command again"
    )


@contextmanager
def reported(path: Path, n_bytes: int | None = None) -> Iterator[None]:
    """Convert an OSError raised in the block with `write_error`."""
    try:
        yield
    except OSError as error:
        raise write_error(path, n_bytes, error) from None


def require_space(path: Path, n_bytes: int) -> None:
    """Check that a file of this size fits, before writing it.

    Raises:
        StorageError: If it does not; the message has the bytes needed and free.
    """
    with reported(path, n_bytes):
        if shutil.disk_usage(path.parent).free < n_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def make_directory(path: Path) -> Path:
    """Create a directory with its parents and return it.

    Raises:
        WorkspaceError: If it cannot be created or is not writable.
        StorageError: If the disk refuses it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in _STORAGE_REMEDIES:
            raise write_error(path, None, error) from None
        raise WorkspaceError(
            f"{path}: cannot be created: {reason_of(error)}; {_DIRECTORY_REMEDY}"
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise WorkspaceError(f"{path}: not writable; {_DIRECTORY_REMEDY}")
    return path


def write_text(path: Path, text: str) -> None:
    """Replace the contents of a file atomically and durably.

    Raises:
        StorageError: If the disk refuses the write; the old contents are kept.
        WorkspaceError: If the folder is not writable.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the contents of a file atomically and durably.

    Raises:
        StorageError: If the disk refuses the write; the old contents are kept.
        WorkspaceError: If the folder is not writable.
    """
    temporary = temporary_path(path)
    try:
        with reported(path, len(data)):
            write_synced(temporary, data)
            temporary.replace(path)
            sync_directory(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def update_bytes(path: Path, data: bytes) -> None:
    """Give a file its contents as `write_bytes` does; one that has them already is left alone.

    Raises:
        StorageError: If the disk refuses the write; the old contents are kept.
        WorkspaceError: If the folder is not writable.
    """
    with suppress(OSError):
        if path.read_bytes() == data:
            return
    write_bytes(path, data)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file in a folder not yet in use, and sync its contents to disk.

    Raises:
        OSError: If it cannot be written; a partial file may remain.
    """
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def append(file: FileIO, path: Path, data: bytes) -> None:
    """Append to a file, all or nothing.

    Args:
        file: Opened for appending, unbuffered: a buffer would retry a failed write later.
        path: Its path.
        data: What to append.

    Raises:
        StorageError: If the disk refuses the write; the old contents are kept.
    """
    end = file.seek(0, os.SEEK_END)
    rest = memoryview(data)
    try:
        with reported(path, len(data)):
            while rest:
                rest = rest[file.write(rest) :]
    except BaseException:
        with suppress(OSError):
            file.truncate(end)
        raise


def sync_directory(path: Path) -> None:
    """Make renames inside a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync directories; their renames are already durable.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def temporary_path(path: Path) -> Path:
    """Return a temporary name in the same folder, which `remove_temporaries` recognises."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def remove_temporaries(folder: Path, names: str, min_age_seconds: float = 0.0) -> None:
    """Remove what killed writers left in a folder: only `.<name>.<hex digits>.tmp`.

    Call it only while no other process can write these names.

    Args:
        folder: Searched without subfolders; may be missing.
        names: Regular expression of final names of files and folders.
        min_age_seconds: Keep anything changed more recently.
    """
    pattern = re.compile(rf"\.(?:{names})(?:\.[0-9a-f]+)?\.tmp")
    try:
        entries = [path for path in folder.iterdir() if pattern.fullmatch(path.name)]
    except OSError:  # missing or unreadable: reported where the folder is used
        return
    for path in entries:
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime < min_age_seconds:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _free_text(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(path.parent).free:,} bytes free"
    except OSError:
        return "unknown space free"
