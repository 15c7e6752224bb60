"""Stores of prepared data on disk: one at a time, whole or not at all, checked by hash."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray
from pydantic import ValidationError

from switchhead_lab.config.part import Part
from switchhead_lab.data.file_errors import read_failure, reading, write_failure, writing
from switchhead_lab.errors import DataError
from switchhead_lab.tracking.atomic import (
    make_directory,
    remove_temporaries,
    sync_directory,
    temporary_path,
)

MANIFEST_FILE = "manifest.json"
LOCK_FILE = ".lock"

ManifestT = TypeVar("ManifestT", bound=Part)


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Hold a folder of stores against other processes that write in it.

    Raises:
        WorkspaceError: If the lock cannot be written.
    """
    lock = FileLock(folder / LOCK_FILE)
    with writing(folder / LOCK_FILE):
        lock.acquire()
    try:
        yield folder
    finally:
        lock.release()


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
        raise write_failure(target, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left in a folder of stores, which must be locked."""
    # A killed write of corpus.json leaves a file, a killed preparation a folder.
    remove_temporaries(folder, ".+")


def remove_stores(paths: Iterable[Path]) -> None:
    """Remove folders or files.

    Raises:
        WorkspaceError: If that is impossible.
    """
    for path in paths:
        with writing(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def read_manifest(store: Path, kind: type[ManifestT], remedy: str) -> ManifestT | None:
    """Read the manifest of a store; None where there is none or it is damaged.

    Raises:
        DataError: If there is one that cannot be read: what it says is not known to be wrong.
    """
    path = store / MANIFEST_FILE
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    except OSError as error:
        raise read_failure(path, error, f"mend that, or delete {store} and {remedy}") from None


def is_whole(sizes: Mapping[Path, int | None], remedy: str) -> bool:
    """Return whether files are there and of the sizes they should have.

    Args:
        sizes: Bytes by file; None for any.
        remedy: What to do about a file that cannot be read.

    Raises:
        DataError: If it cannot be found out.
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
                f"{path}: {found:,} bytes, but {MANIFEST_FILE} says {expected:,}; "
                f"delete {path.parent} and {remedy}"
            )
        return np.memmap(path, dtype, "r", shape=shape)


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
