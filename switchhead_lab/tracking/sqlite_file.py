"""The write-ahead log of a SQLite file."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

# On these, processes of several machines cannot share the log's memory-mapped index.
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "lustre", "gpfs", "beegfs", "fuse.sshfs")


def use_write_ahead_log(path: Path) -> None:
    """Let readers and a writer work at the same time; kept in the file, so once is enough."""
    if _file_system(path.parent).startswith(NETWORK_FILE_SYSTEMS):
        return
    with closing(sqlite3.connect(path, timeout=20.0)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            connection.execute("PRAGMA journal_mode = WAL")


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder; empty where /proc does not tell."""
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
