import os
from pathlib import Path

import pytest
from disk_faults import fail_disk_call

from switchhead_lab.data.store_files import created_atomically, find_or_create
from switchhead_lab.errors import StorageError


def test_a_store_on_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_disk_call(monkeypatch, "rename", 0)
    with (
        pytest.raises(StorageError, match="store: cannot be written: No space left.*free some"),
        created_atomically(tmp_path / "store") as folder,
    ):
        (folder / "train.bin").touch()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_may_be_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / ".corpus.json.0123abcd.tmp").touch()
    (tmp_path / ".bytes.0123abcd.tmp").mkdir()
    for name in ("corpus.json", ".lock", "notes.tmp"):
        (tmp_path / name).touch()
    assert find_or_create(tmp_path, lambda: None, lambda: "made") == "made"
    assert sorted(os.listdir(tmp_path)) == [".lock", "corpus.json", "notes.tmp"]


def test_a_store_that_another_process_made_is_not_made_again(tmp_path: Path) -> None:
    answers = iter([None, "theirs"])
    made: list[str] = []

    def make() -> str:
        made.append("ours")
        return "ours"

    assert find_or_create(tmp_path / "corpus", lambda: next(answers), make) == "theirs"
    assert made == []
