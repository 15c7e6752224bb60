"""A workspace's identity survives a move; a copy beside its original gets one of its own."""

import shutil
from pathlib import Path

import pytest

from switchhead_lab.tracking.workspace_id import FILE_NAME, workspace_id


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    first = workspace_id(tmp_path / "runs")
    assert workspace_id(tmp_path / "runs") == first
    assert workspace_id(tmp_path / "other") != first


def test_a_move_keeps_it(tmp_path: Path) -> None:
    first = workspace_id(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert workspace_id(tmp_path / "b") == first
    # Where it was, another workspace may come to lie.
    assert workspace_id(tmp_path / "a") != first
    assert workspace_id(tmp_path / "b") == first


def test_a_copy_gets_one_of_its_own(tmp_path: Path) -> None:
    first = workspace_id(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = workspace_id(tmp_path / "b")
    assert copy != first
    assert workspace_id(tmp_path / "b") == copy
    assert workspace_id(tmp_path / "a") == first


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "x"}'])
def test_a_damaged_file_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert workspace_id(tmp_path) == workspace_id(tmp_path) != "x"
