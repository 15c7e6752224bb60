import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from disk_faults import fail_disk_call, file_size_limit, umask

from switchhead_lab.errors import StorageError, WorkspaceError
from switchhead_lab.tracking.atomic import (
    append,
    make_directory,
    remove_temporaries,
    require_space,
    sync_directory,
    write_bytes,
)

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("call", "number", "expected"),
    # The last sync makes the rename durable; the new contents are already in place.
    [("fsync", 0, b"old"), ("replace", 0, b"old"), ("fsync", 1, b"new contents")],
)
def test_a_failed_write_leaves_only_the_old_or_the_new_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, expected: bytes
) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    fail_disk_call(monkeypatch, call, number)
    with pytest.raises(StorageError) as caught:
        write_bytes(path, b"new contents")
    message = str(caught.value)
    assert f"{path}: cannot be written: No space left on device; 12 bytes needed" in message
    assert f" bytes free in {tmp_path}; " in message
    assert path.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_beyond_the_limit_keeps_the_old_contents(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with file_size_limit(1000), pytest.raises(StorageError, match="5,000 bytes needed.*ulimit"):
        write_bytes(path, bytes(5000))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, StorageError),
        (errno.EDQUOT, StorageError),
        (errno.EIO, StorageError),
        (errno.EROFS, StorageError),
        (errno.EACCES, WorkspaceError),
    ],
)
def test_full_disks_and_missing_permissions_raise_different_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    fail_disk_call(monkeypatch, "replace", 0, code)
    with pytest.raises(error, match="then run the same command again"):
        write_bytes(tmp_path / "file", b"new")


def test_creating_a_folder_on_a_full_disk_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_disk_call(monkeypatch, "mkdir", 0)
    with pytest.raises(StorageError, match="folder: cannot be written: No space left"):
        make_directory(tmp_path / "folder")


def test_free_space_is_checked_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1234))
    require_space(tmp_path / "file", 1234)
    with pytest.raises(StorageError) as caught:
        require_space(tmp_path / "file", 1235)
    assert "1,235 bytes needed, 1,234 bytes free in" in str(caught.value)


def test_a_failed_append_leaves_the_old_contents(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("ab", buffering=0) as file:
        append(file, path, b"first\n")
        # Eleven bytes of the second line fit: the system writes them before it fails.
        with file_size_limit(17), pytest.raises(StorageError, match="13 bytes needed"):
            append(file, path, b"second point\n")
        assert path.read_bytes() == b"first\n"
        append(file, path, b"third\n")
    assert path.read_bytes() == b"first\nthird\n"


def test_files_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    for mask, mode in ((0o002, 0o664), (0o077, 0o600)):
        with umask(mask):
            write_bytes(tmp_path / "file", b"new")
        assert (tmp_path / "file").stat().st_mode & 0o777 == mode


def test_a_file_system_that_cannot_sync_folders_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_disk_call(monkeypatch, "fsync", 0, errno.EINVAL)
    sync_directory(tmp_path)
    fail_disk_call(monkeypatch, "fsync", 0, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync_directory(tmp_path)


def test_only_temporary_names_are_removed(tmp_path: Path) -> None:
    kept = ["status.json", ".status.json", ".status.json.zz.tmp", ".notes.tmp", "status.json.1.tmp"]
    gone = [".status.json.0123abcd.tmp", ".status.json.tmp", ".result.json.1.tmp"]
    for name in [*kept, *gone[:-1]]:
        (tmp_path / name).touch()
    (tmp_path / gone[-1] / "inner").mkdir(parents=True)
    (tmp_path / ".status.json.77.tmp").symlink_to(tmp_path / ".notes.tmp")
    remove_temporaries(tmp_path, r"status\.json|result\.json", min_age_seconds=3600)
    assert (tmp_path / gone[0]).exists()
    remove_temporaries(tmp_path, r"status\.json|result\.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    remove_temporaries(tmp_path / "missing", ".+")
