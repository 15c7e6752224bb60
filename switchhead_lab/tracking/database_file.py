"""SQLite databases: connections, the write-ahead log, and atomic creation."""

import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from switchhead_lab.config.addresses import file_address
from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking.atomic import make_directory, sync_directory

COMPANIONS = ("-wal", "-shm", "-journal")
BYTES_NEEDED = 4_000_000  # MLflow's schema takes 1 MB, and so does its log during creation
LOCK_SECONDS = 20.0
# File systems on which several machines cannot share the log's memory-mapped index.
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "lustre", "gpfs", "beegfs", "fuse.sshfs")


def create_database(path: Path, build: Callable[[str], None]) -> None:
    """Create a database unless it exists; the caller must hold the creation lock.

    The schema is built in a temporary file beside `path`, which is then renamed, so a process that
    is killed or runs out of disk space leaves no partial database.

    Args:
        path: The database.
        build: Creates the schema in the database at a SQLAlchemy address, and closes it.

    Raises:
        WorkspaceError: If the folder cannot be created or `path` is not a SQLite database.
    """
    if not is_empty(path):
        return
    make_directory(path.parent)
    for leftover in path.parent.glob(f".{path.name}.*.new*"):  # from a killed creator
        leftover.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.new")
    try:
        temporary.touch()  # applies the umask, which SQLite ignores
        _build(build, path, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _set_companions_aside(path)
        temporary.replace(path)
    finally:
        for suffix in ("", *COMPANIONS):
            temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)
    sync_directory(path.parent)


def _build(build: Callable[[str], None], path: Path, temporary: Path) -> None:
    try:
        build(file_address(temporary))
    except Exception as error:  # libraries report a full disk with different exceptions
        free = shutil.disk_usage(path.parent).free
        if free >= BYTES_NEEDED:
            raise
        raise WorkspaceError(
            f"{path}: cannot be created: {free:,} bytes are free on its disk, {BYTES_NEEDED:,} are "
            "needed; free some space and try again"
        ) from error


def is_empty(path: Path) -> bool:
    """Return whether a database file is missing or has no tables."""
    return not path.is_file() or path.stat().st_size == 0 or not tables(path)


def tables(path: Path) -> set[str]:
    """Return the names of a database's tables.

    Raises:
        WorkspaceError: If the file is not a SQLite database or is locked.
    """
    rows = _query(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {str(name) for (name,) in rows}


def has_rows(path: Path, table: str) -> bool:
    """Return whether a table exists and has at least one row.

    Raises:
        WorkspaceError: If the file is not a SQLite database or is locked.
    """
    return table in tables(path) and bool(_query(path, f"SELECT 1 FROM {table} LIMIT 1"))


def _query(path: Path, statement: str) -> list[tuple[object, ...]]:
    try:
        with connect(path) as connection:
            return connection.execute(statement).fetchall()
    except sqlite3.Error as error:
        raise WorkspaceError(f"{path}: cannot be used: {error}") from None


def _set_companions_aside(path: Path) -> None:
    """Rename stale logs, so that they are not replayed into the new database."""
    for suffix in COMPANIONS:
        companion = path.with_name(path.name + suffix)
        if companion.is_file():
            companion.replace(companion.with_name(f"{companion.name}.orphaned"))


@contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file for the block, waiting up to `LOCK_SECONDS` for locks."""
    with closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as connection:
        yield connection


def use_write_ahead_log(path: Path) -> None:
    """Enable concurrent readers and a writer; the setting persists in the file."""
    if _file_system(path.parent).startswith(NETWORK_FILE_SYSTEMS):
        return
    with connect(path) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            connection.execute("PRAGMA journal_mode = WAL")


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder; empty without /proc."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in mounts:
        _, mount_point, file_system, *_ = line.split(" ")
        inside = os.path.commonpath([mount_point, folder.resolve()]) == mount_point
        if inside and len(mount_point) >= len(best):
            best, kind = mount_point, file_system
    return kind
