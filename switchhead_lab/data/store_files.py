"""Stores of prepared data on disk: locked, written atomically, verified by hash."""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray
from pydantic import ValidationError

from switchhead_lab.data.file_errors import read_failure, reading
from switchhead_lab.errors import DataError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.atomic import (
    make_directory,
    remove_temporaries,
    reported,
    sync_directory,
    temporary_path,
)

MANIFEST_FILE = "manifest.json"
LOCK_FILE = ".lock"

ManifestT = TypeVar("ManifestT", bound=FrozenModel)
StoreT = TypeVar("StoreT")


def find_or_create(
    folder: Path, find: Callable[[], StoreT | None], make: Callable[[], StoreT]
) -> StoreT:
    """Return the existing store, or create it under the lock of its folder.

    Processes that want the same store at the same time wait for the first.

    Args:
        folder: The folder of stores; created if missing.
        find: Returns the store if it is complete, else None.
        make: Creates the store, with `created_atomically`.

    Raises:
        StorageError: If the disk is full or fails.
        WorkspaceError: If it cannot be written for another reason.
    """
    store = find()
    if store is not None:
        return store
    with locked(make_directory(folder)):
        remove_temporaries(folder, ".+")  # of killed processes
        store = find()
        return make() if store is None else store


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Lock a folder of stores against other writers.

    Raises:
        StorageError: If the disk is full or fails.
        WorkspaceError: If the lock file cannot be written for another reason.
    """
    lock = FileLock(folder / LOCK_FILE)
    with reported(folder / LOCK_FILE):
        lock.acquire()
    try:
        yield folder
    finally:
        lock.release()


@contextmanager
def created_atomically(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes the store if the block succeeds and is removed if not.

    The caller holds the lock of the parent folder and has found no valid store.

    Args:
        target: Folder of the store.

    Raises:
        StorageError: If the disk is full or fails.
        WorkspaceError: If it cannot be written for another reason.
    """
    temporary = make_directory(temporary_path(target))
    try:
        with reported(target):
            yield temporary
            # The target was not found valid, so it is a damaged or outdated store.
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
            sync_directory(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_file(path: Path, contents: bytes) -> None:
    """Write a file of a store under construction.

    Raises:
        StorageError: If the disk is full or fails.
        WorkspaceError: If it cannot be written for another reason.
    """
    with reported(path, len(contents)):
        path.write_bytes(contents)


def remove_stores(paths: Iterable[Path]) -> None:
    """Remove folders or files.

    Raises:
        StorageError: If the disk fails.
        WorkspaceError: If one cannot be removed for another reason.
    """
    for path in paths:
        with reported(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def read_manifest(store: Path, kind: type[ManifestT], remedy: str) -> ManifestT | None:
    """Read the manifest of a store; None if it is missing or damaged.

    Raises:
        DataError: If it cannot be read; its store may still be valid.
    """
    path = store / MANIFEST_FILE
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    except OSError as error:
        raise read_failure(path, error, f"fix that, or delete {store} and {remedy}") from None


def has_expected_sizes(sizes: Mapping[Path, int | None], remedy: str) -> bool:
    """Return whether every file exists and has its expected size.

    Args:
        sizes: Expected bytes by file; None for any size.
        remedy: What to do about a file that cannot be read.

    Raises:
        DataError: If the size of a file cannot be read.
    """
    for path, n_bytes in sizes.items():
        try:
            found = path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise read_failure(path, error, remedy) from None
        if n_bytes not in (None, found):
            return False
    return True


def open_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...], remedy: str) -> NDArray[Any]:
    """Map a file into memory, read-only.

    Raises:
        DataError: If it is missing, unreadable or not exactly of that shape.
    """
    expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with reading(path, remedy):
        found = path.stat().st_size
        if found != expected:
            raise DataError(
                f"{path}: {found:,} bytes, but {MANIFEST_FILE} records {expected:,}; "
                f"delete {path.parent} and {remedy}"
            )
        return np.memmap(path, dtype, "r", shape=shape)


def require_hashes(store: Path, expected: Mapping[Path, str], remedy: str) -> None:
    """Check files against their recorded hashes.

    Args:
        store: Folder of the store.
        expected: SHA-256 by file.
        remedy: What to do if a file is missing or differs, e.g. "run `lab data prepare` again".

    Raises:
        DataError: If a file is missing or differs; the message names it.
    """
    for path, sha256 in expected.items():
        found = sha256_of_file(path, remedy)
        if found != sha256:
            raise DataError(
                f"{path}: SHA-256 is {found}, but {MANIFEST_FILE} records {sha256}; "
                f"delete {store} and {remedy}"
            )


def sha256_of_file(path: Path, remedy: str) -> str:
    """Return the SHA-256 of a file.

    Args:
        path: The file.
        remedy: What to do if it is missing or unreadable.

    Raises:
        DataError: If the file is missing or unreadable.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise DataError(f"{path}: missing; {remedy}") from None
    except OSError as error:
        raise read_failure(path, error, remedy) from None
