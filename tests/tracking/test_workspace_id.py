"""The identity of a workspace: kept by a move, new for a copy beside the original."""

import shutil
from pathlib import Path

import pytest

from switchhead_lab.tracking.workspace_id import FILE_NAME, workspace_id


def test_the_id_is_created_once(tmp_path: Path) -> None:
    first = workspace_id(tmp_path / "runs")
    assert workspace_id(tmp_path / "runs") == first
    assert workspace_id(tmp_path / "other") != first


def test_a_moved_workspace_keeps_its_id(tmp_path: Path) -> None:
    first = workspace_id(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert workspace_id(tmp_path / "b") == first
    # Another workspace may take its place.
    assert workspace_id(tmp_path / "a") != first
    assert workspace_id(tmp_path / "b") == first


def test_a_copied_workspace_gets_a_new_id(tmp_path: Path) -> None:
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
