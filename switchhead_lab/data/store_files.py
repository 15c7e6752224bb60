"""Stores of prepared data on disk: one at a time, whole or not at all, checked by hash."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from switchhead_lab.errors import DataError
from switchhead_lab.tracking.atomic import (
    make_directory,
    remove_temporaries,
    sync_directory,
    temporary_path,
    write_error,
)

MANIFEST_FILE = "manifest.json"
LOCK_FILE = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Hold a folder of stores against other processes that write in it."""
    with FileLock(folder / LOCK_FILE):
        yield folder


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes the store if the block succeeds and else vanishes.

    Call it with the folder around the store locked, and only where no valid store is there.

    Args:
        target: Folder of the store.

    Raises:
        StorageError: If the disk cannot take it.
        WorkspaceError: If it cannot be written for another reason.
    """
    temporary = make_directory(temporary_path(target))
    try:
        yield temporary
        # A folder that is there but was not found valid is a damaged or outdated store.
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        raise write_error(target, None, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left in a folder of stores, which must be locked."""
    remove_temporaries(folder, ".+")


def require_hashes(store: Path, expected: Mapping[Path, str], remedy: str) -> None:
    """Hash files again and compare.

    Args:
        store: Folder of the store.
        expected: SHA-256 by file.
        remedy: What to do then, e.g. "run `lab data prepare` again".

    Raises:
        DataError: If a file is missing or differs; the message names it.
    """
    for path, sha256 in expected.items():
        found = sha256_of_file(path, remedy)
        if found != sha256:
            raise DataError(
                f"{path}: SHA-256 is {found}, but {MANIFEST_FILE} says {sha256}; "
                f"delete {store} and {remedy}"
            )


def sha256_of_file(path: Path, remedy: str) -> str:
    """Return the SHA-256 of a file.

    Args:
        path: The file.
        remedy: What to do if it is missing.

    Raises:
        DataError: If the file is missing.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise DataError(f"{path}: missing; {remedy}") from None
