from pathlib import Path

import pytest
import torch

from switchhead_lab.errors import RecordError
from switchhead_lab.training import checkpoint
from switchhead_lab.training.checkpoint import (
    Progress,
    load_checkpoint,
    load_latest,
    save_checkpoint,
)


def save(directory: Path, step: int) -> Path:
    progress = Progress(step, 10 * step, 0.5 * step)
    return save_checkpoint(directory, progress, {"w": torch.full((3,), float(step))})


def test_latest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    assert load_latest(tmp_path) is None
    for step in (2, 4, 6):
        save(tmp_path, step)
    loaded = load_latest(tmp_path)
    assert loaded is not None
    assert loaded[0] == Progress(6, 60, 3.0)
    assert torch.equal(loaded[1]["w"], torch.full((3,), 6.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000004", "step-00000006"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(tmp_path, damage: str) -> None:
    save(tmp_path, 2)
    path = save(tmp_path, 4)
    tensors = path / "tensors.safetensors"
    contents = bytearray(tensors.read_bytes())
    if damage == "flip":
        contents[-1] ^= 1
        tensors.write_bytes(contents)
    elif damage == "truncate":
        tensors.write_bytes(contents[:-4])
    elif damage == "remove":
        tensors.unlink()
    else:
        (path / "checkpoint.json").write_text("{", encoding="utf-8")
    with pytest.raises(RecordError, match="step-00000004.*damaged"):
        load_checkpoint(path)
    with pytest.warns(UserWarning, match="taking the one before"):
        loaded = load_latest(tmp_path)
    assert loaded is not None
    assert loaded[0].step == 2


def test_a_save_that_dies_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch) -> None:
    save(tmp_path, 2)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        save(tmp_path, 4)
    monkeypatch.undo()
    loaded = load_latest(tmp_path)
    assert loaded is not None
    assert loaded[0].step == 2
    assert save(tmp_path, 4).is_dir()
