"""Training on a failing disk, and from damaged or foreign checkpoints."""

import json
import shutil

import pytest
import torch
from disk_faults import fail_disk_call
from filelock import FileLock

from switchhead_lab.config.identity import hash_of
from switchhead_lab.errors import StorageError, TrainingError, WorkspaceError
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels, RunRecord, list_runs
from switchhead_lab.training import run as run_module
from switchhead_lab.training.checkpoint import load_latest
from switchhead_lab.training.next_token import NextToken
from switchhead_lab.training.run import execute_run

LABELS = RunLabels(size="tiny", variant="model")


class StopAt:
    """Hook that interrupts training like Ctrl-C."""

    def __init__(self, step: int) -> None:
        self.step = step

    def observe(self, point) -> None:
        if point.step == self.step and "train/loss_nats" in point.metrics:
            raise KeyboardInterrupt


def train(workspace, config, hooks=()) -> RunRecord:
    return execute_run(workspace, config, LABELS, index=NoIndex(), hooks=hooks)


def outcome(run: RunRecord) -> tuple[list[float], dict[str, bytes]]:
    """Return what must be bitwise identical: recorded losses and the last checkpoint."""
    loaded = load_latest(run.directory / "checkpoints")
    assert loaded is not None
    losses = [value for point in run.metrics() for value in [point.metrics.get("train/loss_nats")]]
    return losses, {name: tensor.numpy().tobytes() for name, tensor in loaded[1].items()}


NEWEST = "step-00000005"  # saved by the interruption


def restart(workspace, config):
    """Train once, move the run away, and interrupt a second training, which has two checkpoints."""
    whole = train(workspace, config)
    expected = outcome(whole)
    shutil.rmtree(whole.directory)
    with pytest.raises(KeyboardInterrupt):
        train(workspace, config, [StopAt(5)])
    folder = whole.directory / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000004", NEWEST]
    return expected, folder


def edit_step(folder) -> None:
    path = folder / NEWEST / "checkpoint.json"
    values = json.loads(path.read_text(encoding="utf-8")) | {"step": 3, "tokens": 1}
    path.write_text(json.dumps(values), encoding="utf-8")


def forge_tokens(folder) -> None:
    path = folder / NEWEST / "checkpoint.json"
    values = json.loads(path.read_text(encoding="utf-8")) | {"tokens": 1}
    del values["manifest_sha256"]
    signed = values | {"manifest_sha256": hash_of(values)}
    path.write_text(json.dumps(signed), encoding="utf-8")


def forge_hash(folder) -> None:
    path = folder / NEWEST / "checkpoint.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | {"sha256": "0" * 64}), encoding="utf-8")


@pytest.mark.parametrize("damage", [edit_step, forge_tokens, forge_hash])
def test_an_edited_checkpoint_is_skipped_and_the_result_is_the_same(
    workspace, tiny_config, capfd, damage
) -> None:
    config = tiny_config(checkpoint_every=2)
    expected, folder = restart(workspace, config)
    damage(folder)
    assert outcome(train(workspace, config)) == expected
    assert "warning: skipped: " in capfd.readouterr().err


def test_a_checkpoint_of_another_run_is_skipped(workspace, tiny_config, capfd) -> None:
    config = tiny_config(checkpoint_every=2)
    expected, folder = restart(workspace, config)
    other = train(workspace, tiny_config(checkpoint_every=2, seed=1)).directory / "checkpoints"
    shutil.rmtree(folder / NEWEST)
    for name in ("step-00000004", "step-00000006"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(other / name, folder / name)
    assert outcome(train(workspace, config)) == expected
    assert capfd.readouterr().err.count("checkpoint of another run") == 2


def test_a_full_disk_ends_the_run_which_continues_with_more_space(
    workspace, tiny_config, monkeypatch
) -> None:
    config = tiny_config(checkpoint_every=2)
    whole = train(workspace, config)
    expected = outcome(whole)
    shutil.rmtree(whole.directory)
    with monkeypatch.context() as patch:
        # No space for the second checkpoint; the first rename is that of the run's directory.
        fail_disk_call(patch, "rename", 2)
        with pytest.raises(StorageError, match=r"step-00000004: cannot be written.*bytes needed"):
            train(workspace, config)
    (run,) = list_runs(workspace.runs_dir)
    assert run.status.state == "interrupted"
    assert "bytes needed" in run.status.reason
    checkpoints = run.directory / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000002"]
    assert outcome(train(workspace, config)) == expected


def test_another_users_lock_is_a_clear_error(workspace, tiny_config, monkeypatch) -> None:
    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", self.lock_file)

    monkeypatch.setattr(FileLock, "_acquire", refuse)
    monkeypatch.setattr(run_module, "open_dataset", lambda *_, **__: None)
    monkeypatch.setattr(run_module, "usable_run", lambda *_: None)
    with pytest.raises(WorkspaceError, match=r"\.lock: cannot be written: Permission denied; make"):
        train(workspace, tiny_config())


def test_a_non_finite_weight_is_not_saved_even_if_the_loss_is_finite(
    workspace, tiny_config, monkeypatch
) -> None:
    """The embedding of a token that never occurs does not affect the loss."""
    config = tiny_config(checkpoint_every=2)
    original, n_calls = NextToken.score, 0

    def score(self, model, inputs, targets, memory):
        nonlocal n_calls
        n_calls += model.training
        if n_calls == 4:
            with torch.no_grad():
                model.embedding.weight[1] = float("nan")
        return original(self, model, inputs, targets, memory)

    monkeypatch.setattr(NextToken, "score", score)
    with pytest.raises(TrainingError, match=r"model\.embedding\.weight is not finite after step 4"):
        train(workspace, config)
    (run,) = list_runs(workspace.runs_dir)
    assert run.status.state == "failed"
    checkpoints = run.directory / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000002"]
