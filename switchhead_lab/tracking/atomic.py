"""Durable writes: a reader sees the old contents or the new, never a part."""

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
# What a disk may refuse, with the way out.
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
    """Return the error that says why a file could not be written and what to do.

    Args:
        path: The file or folder.
        n_bytes: What had to be written; None where that is unknown or nothing to speak of.
        error: What the system said.
        at_least: `n_bytes` is a lower bound.

    Returns:
        A StorageError where the disk cannot take it, else a WorkspaceError.
    """
    reason = reason_of(error)
    remedy = _STORAGE_REMEDIES.get(error.errno or 0)
    if remedy is None:
        return WorkspaceError(
            f"{path}: cannot be written: {reason}; make {path.parent} and what is in it writable, "
            "then give the same command again"
        )
    bound = "more than " if at_least else ""
    needed = "" if n_bytes is None else f"{bound}{n_bytes:,} bytes needed, "
    return StorageError(
        f"{path}: cannot be written: {reason}; {needed}{_free_text(path)} in {path.parent}; "
        f"{remedy}, then give the same command again"
    )


@contextmanager
def reported(path: Path, n_bytes: int | None = None) -> Iterator[None]:
    """Turn an OSError of the block into the error that `write_error` returns."""
    try:
        yield
    except OSError as error:
        raise write_error(path, n_bytes, error) from None


def require_space(path: Path, n_bytes: int) -> None:
    """Check that a file of this size fits, before anything of it is written.

    Raises:
        StorageError: If less is free; the message says how much of both.
    """
    with reported(path, n_bytes):
        if shutil.disk_usage(path.parent).free < n_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def make_directory(path: Path) -> Path:
    """Create a directory with its parents and return it.

    Raises:
        WorkspaceError: If it cannot be created or is not writable.
        StorageError: If the disk cannot take it.
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
    """Replace the contents of a file in one step, durably.

    Raises:
        StorageError: If the disk cannot take it; the old contents stay.
        WorkspaceError: If the folder is not writable.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the contents of a file in one step, durably.

    Raises:
        StorageError: If the disk cannot take it; the old contents stay.
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


def write_synced(path: Path, data: bytes) -> None:
    """Write a file whose folder is not in use yet, and wait until its contents are on the disk.

    Raises:
        OSError: If it cannot be written; a part of it may be left.
    """
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def append(file: FileIO, path: Path, data: bytes) -> None:
    """Append to a file, all or nothing.

    Args:
        file: Opened for appending, without a buffer: one would keep a failed write for later.
        path: Its path.
        data: What to append.

    Raises:
        StorageError: If the disk cannot take it; the old contents stay.
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
        # Some network file systems cannot sync directories; their renames are durable by then.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def temporary_path(path: Path) -> Path:
    """Return a name beside a path that `remove_temporaries` knows as temporary."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def remove_temporaries(folder: Path, names: str, min_age_seconds: float = 0.0) -> None:
    """Remove what killed writers left in a folder: `.<name>.<hex digits>.tmp`, and nothing else.

    Call it where no other process can be writing those names.

    Args:
        folder: Looked at without its subfolders; may be missing.
        names: Regular expression of the files' and folders' final names.
        min_age_seconds: Leave alone what was changed since.
    """
    pattern = re.compile(rf"\.(?:{names})(?:\.[0-9a-f]+)?\.tmp")
    try:
        entries = [path for path in folder.iterdir() if pattern.fullmatch(path.name)]
    except OSError:  # missing or not readable: whoever needs the folder says so
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
