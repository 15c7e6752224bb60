"""The files of a run directory that may be copied elsewhere: regular ones with plain names."""

import os
from collections.abc import Iterator
from pathlib import Path

from switchhead_lab.config.names import is_entry_name
from switchhead_lab.errors import RecordError, reason_of
from switchhead_lab.tracking.file_names import (
    IMPORT_FILE,
    MLFLOW_LINK_FILE,
    UNSYNCED_FILE,
    UPLOAD_FILE,
)

LOCAL_FILES = (MLFLOW_LINK_FILE, UNSYNCED_FILE, IMPORT_FILE, UPLOAD_FILE)
"""Files that belong to a workspace rather than to the run; never copied."""
_MAX_DEPTH = 4


def files_of_run(directory: Path) -> Iterator[Path]:
    """Yield the files of a run directory in order of name, without hidden and local ones.

    Raises:
        RecordError: If there is a link or special file among them, or one cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise RecordError(f"{error.filename}: cannot be read: {reason_of(error)}")

    for folder, folders, names in os.walk(directory, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(
            [*names, *(one for one in folders if (Path(folder) / one).is_symlink())]
        ):
            path = Path(folder) / name
            if is_left_out(name_in_run(directory, path)):
                continue
            if path.is_symlink() or not path.is_file():
                raise RecordError(f"{path}: a link or special file; only files are copied")
            yield path


def name_in_run(directory: Path, path: Path) -> str:
    """Return the name of a file within a run directory, with forward slashes."""
    return path.relative_to(directory).as_posix()


def is_left_out(name: str) -> bool:
    """Return whether a file is hidden or belongs to a workspace, so that it is not copied."""
    return name in LOCAL_FILES or any(part.startswith(".") for part in name.split("/"))


def require_plain(source: Path | str, name: str) -> None:
    """Reject names that are not plain paths below a run directory.

    Args:
        source: Where the name comes from, for the error.
        name: The name.

    Raises:
        RecordError: If it leads out of the directory, is too deep or holds special characters.
    """
    parts = name.split("/")
    plain = [part.removeprefix(".") for part in parts] if ".." not in parts else [""]
    if len(parts) > _MAX_DEPTH + 1 or not all(map(is_entry_name, plain)):
        raise RecordError(f"{source}: {name!r} is not a path in a run directory; nothing is copied")
