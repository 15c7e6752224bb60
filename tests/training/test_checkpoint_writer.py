import threading
from pathlib import Path

import pytest
import torch
from disk_faults import fail_disk_call

from switchhead_lab.errors import StorageError, TrainingError
from switchhead_lab.training import checkpoint_writer
from switchhead_lab.training.checkpoint import load_checkpoint, load_latest, save_checkpoint
from switchhead_lab.training.checkpoint_manifest import Progress
from switchhead_lab.training.checkpoint_writer import CheckpointWriter

RUN = "a" * 64


def test_tensors_may_change_during_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write = threading.Event()

    def save_later(*arguments):
        assert may_write.wait(60)
        return save_checkpoint(*arguments)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", save_later)
    weight = torch.ones(3)
    with CheckpointWriter(tmp_path, RUN) as writer:
        writer.save(Progress(2), {"w": weight})
        weight.zero_()
        assert load_latest(tmp_path, RUN) is None
        may_write.set()
        writer.save(Progress(4), {"w": weight})
    loaded = load_latest(tmp_path, RUN)
    assert loaded is not None
    assert loaded[0].step == 4
    first = load_checkpoint(tmp_path / "step-00000002", RUN)[1]["w"]
    assert first.tolist() == [1.0, 1.0, 1.0]


def write(directory: Path, *values: torch.Tensor, then: BaseException | None = None) -> None:
    """Save values as steps 1, 2, ..., then raise an error, if any."""
    with CheckpointWriter(directory, RUN) as writer:
        for step, value in enumerate(values, start=1):
            writer.save(Progress(step), {"w": value})
        if then is not None:
            raise then


def test_a_non_finite_value_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="w is not finite after step 2"):
        write(tmp_path, torch.ones(2), torch.tensor([0.0, float("nan")]))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


@pytest.mark.parametrize("n_saves", [1, 2])
def test_a_failed_write_raises_at_the_next_save_or_at_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_saves: int
) -> None:
    fail_disk_call(monkeypatch, "rename", 0)
    with pytest.raises(StorageError, match="step-00000001: cannot be written"):
        write(tmp_path, *[torch.ones(3)] * n_saves)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_does_not_hide_the_error_that_ended_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_disk_call(monkeypatch, "rename", 0)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, torch.ones(3), then=KeyboardInterrupt())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: checkpoint not written: ")
    assert "No space left" in line


def test_an_interrupted_run_waits_for_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, torch.ones(1_000_000), then=KeyboardInterrupt())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
