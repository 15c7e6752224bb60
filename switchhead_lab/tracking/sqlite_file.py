"""Connections to a SQLite file, and its write-ahead log."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

LOCK_SECONDS = 20.0
# Here processes on several machines cannot share the log's memory-mapped index.
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "lustre", "gpfs", "beegfs", "fuse.sshfs")


@contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file, wait up to `LOCK_SECONDS` for locks, and close it afterwards."""
    with closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as connection:
        yield connection


def use_write_ahead_log(path: Path) -> None:
    """Let readers and a writer work at the same time; the file keeps the setting."""
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
