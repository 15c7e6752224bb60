"""Run directories as archives, and copies of foreign ones: regular files with plain names only."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from switchhead_lab.config.names import is_entry_name
from switchhead_lab.errors import RecordError, reason_of
from switchhead_lab.tracking.atomic import (
    make_directory,
    reported,
    require_space,
    sync_directory,
    temporary_path,
    write_synced,
)
from switchhead_lab.tracking.file_names import CHECKPOINTS_DIR, IMPORT_FILE
from switchhead_lab.tracking.run_files import (
    files_of_run,
    is_left_out,
    name_in_run,
    require_plain,
)

# tarfile reads a whole header at once, which a hostile archive may declare as large as it likes.
_MAX_READ_BYTES = 1 << 20
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


@dataclass(frozen=True)
class Limits:
    """Limits on a foreign run directory.

    Attributes:
        n_bytes: Bytes of all files.
        n_files: Number of files and folders.
    """

    n_bytes: int
    n_files: int = 20_000


def pack(directory: Path, target: Path, *, with_checkpoints: bool = True) -> int:
    """Write a run directory as a tar.gz archive; equal runs give equal bytes.

    Args:
        directory: The run's directory.
        target: File to create.
        with_checkpoints: Whether to include the weights.

    Returns:
        The number of files in it.

    Raises:
        RecordError: If the target exists, or the directory holds links or special files.
        StorageError: If the disk refuses the write; no partial archive remains.
        WorkspaceError: If the folder cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise RecordError(f"{target}: exists; choose another file with --out")
    files = [
        path
        for path in files_of_run(directory)
        if with_checkpoints or path.relative_to(directory).parts[0] != CHECKPOINTS_DIR
    ]
    temporary = temporary_path(target)
    try:
        with reported(target), temporary.open("wb") as raw:
            with (
                gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream,
                tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
            ):
                for path in files:
                    entry = tarfile.TarInfo(f"{directory.name}/{name_in_run(directory, path)}")
                    entry.size = path.stat().st_size
                    with path.open("rb") as file:
                        archive.addfile(entry, file)
            raw.flush()
            os.fsync(raw.fileno())
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
    return len(files)


def copy_in(source: Path, target: Path, limits: Limits) -> str:
    """Copy a foreign run directory, or the one in an archive, into a new folder.

    Hidden files, and those that belong to a workspace, are left out.

    Args:
        source: Directory, or a tar archive, compressed or not.
        target: Folder to create.
        limits: What to accept.

    Returns:
        The name of the run's directory.

    Raises:
        RecordError: If the source is unreadable or holds a link, a special file, a path out of the
            directory, or more than the limits.
        StorageError: If the disk refuses the write; the caller removes the folder.
    """
    make_directory(target)
    if source.is_dir():
        return _copy_directory(source.resolve(), target, limits)
    with _opened(source) as archive:
        try:
            return _extract(source, archive, target, limits)
        except (tarfile.TarError, EOFError, lzma.LZMAError, ValueError) as error:
            raise _damaged(source, error) from None


def _copy_directory(source: Path, target: Path, limits: Limits) -> str:
    budget = _Budget(source, limits)
    files = list(files_of_run(source))
    for path in files:
        budget.take(path.stat().st_size)
    require_space(target, budget.n_bytes)
    for path in files:
        name = name_in_run(source, path)
        require_plain(source, name)
        with path.open("rb") as file:
            _write(file, target / name)
    return source.name


def _extract(source: Path, archive: tarfile.TarFile, target: Path, limits: Limits) -> str:
    budget, folder = _Budget(source, limits), ""
    for member in archive:
        name = str(PurePosixPath(member.name))
        budget.take(0)
        if member.isdir() and is_entry_name(name):
            continue
        require_plain(source, name)
        if not member.isreg() and not member.isdir():
            raise RecordError(f"{source}: {name} is a link or special file; only files are copied")
        first, _, rest = name.partition("/")
        if folder and first != folder:
            raise RecordError(f"{source}: holds {folder} and {first}; it must hold one run only")
        folder = first
        if member.isdir() or is_left_out(rest):
            continue
        budget.take(member.size, n_files=0)
        file = archive.extractfile(member)
        assert file is not None, "regular files have contents"
        _write(file, target / rest)
    if not folder:
        raise RecordError(f"{source}: holds no run directory; see `lab runs pack`")
    return folder


def _write(file: IO[bytes], path: Path) -> None:
    make_directory(path.parent)
    with reported(path), path.open("xb") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())


class _Budget:
    """What remains of the limits."""

    def __init__(self, source: Path, limits: Limits) -> None:
        self._source, self._limits = source, limits
        self.n_bytes = self._n_files = 0

    def take(self, n_bytes: int, n_files: int = 1) -> None:
        """Count a file, or its bytes alone.

        Raises:
            RecordError: If a limit is exceeded.
        """
        self.n_bytes += n_bytes
        self._n_files += n_files
        if self.n_bytes > self._limits.n_bytes:
            allowed = self._limits.n_bytes / 2**30
            raise RecordError(
                f"{self._source}: holds more than {allowed:g} GiB; if you trust it, raise --max-gib"
            )
        if self._n_files > self._limits.n_files:
            raise RecordError(
                f"{self._source}: holds more than {self._limits.n_files:,} entries; no run does"
            )


class _Bounded(io.RawIOBase):
    """A stream of which only small pieces may be read at once."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes."""
        if not 0 <= size <= _MAX_READ_BYTES:
            raise tarfile.ReadError("a header is too large")
        return bytes(self._stream.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position."""
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        """Return the position."""
        return int(self._stream.tell())


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar archive, compressed or not.

    Raises:
        RecordError: If it is missing, unreadable or not a tar archive.
    """
    try:
        with source.open("rb") as file:
            opener = _OPENERS.get(file.read(2), open)
    except OSError as error:
        raise RecordError(
            f"{source}: cannot be read: {reason_of(error)}; give a run's directory or its archive"
        ) from None
    with opener(source, "rb") as stream:
        try:
            archive = tarfile.open(fileobj=_Bounded(stream), mode="r:")  # noqa: SIM115
        except (tarfile.TarError, OSError, EOFError, lzma.LZMAError, ValueError) as error:
            raise _damaged(source, error) from None
        with archive:
            yield archive


def _damaged(source: Path, error: Exception) -> RecordError:
    return RecordError(
        f"{source}: not an intact tar archive: {reason_of(error)}; give what `lab runs pack` wrote"
    )


def write_note(directory: Path, text: str) -> None:
    """Write where a run was copied from."""
    with reported(directory / IMPORT_FILE):
        write_synced(directory / IMPORT_FILE, text.encode())
        sync_directory(directory)
