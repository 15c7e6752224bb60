"""Writing files so that a reader sees the old contents or the new, never a part."""

import os
import uuid
from pathlib import Path

from switchhead_lab.errors import WorkspaceError


def make_directory(path: Path) -> Path:
    """Create a directory with its parents and return it.

    Raises:
        WorkspaceError: If it cannot be created or is not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"{path}: cannot be created: {error.strerror}; choose a writable folder in lab.toml"
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise WorkspaceError(f"{path}: not writable; choose a writable folder in lab.toml")
    return path


def write_text(path: Path, text: str) -> None:
    """Replace the contents of a file in one step, durably."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the contents of a file in one step, durably."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames inside a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
