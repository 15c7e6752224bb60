"""Run lifecycle: signals, failures and restarts lose no data and leave the right status."""

import json
import math
import os
import signal

import pytest
import torch

from switchhead_lab.errors import RecordError, RunBusyError, StorageError, TrainingError
from switchhead_lab.objectives.metrics import PERPLEXITY
from switchhead_lab.tracking.interruption import Interrupted
from switchhead_lab.tracking.liveness import observed_state, run_lock
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels, RunResult, list_runs, read_run
from switchhead_lab.training import loop
from switchhead_lab.training.change_policy import ChangePolicy
from switchhead_lab.training.run import execute_run

LABELS = RunLabels(size="tiny", variant="model")


def train(workspace, config, hooks=(), **options):
    return execute_run(workspace, config, LABELS, index=NoIndex(), hooks=hooks, **options)


def points(run):
    return [
        (point.step, name, value)
        for point in run.metrics()
        for name, value in point.metrics.items()
        if name.endswith("loss_nats")
    ]


class SignalAt:
    """Hook that simulates a signal while a point is recorded."""

    def __init__(self, signals, step: int, metric: str = "train/loss_nats") -> None:
        self.signals, self.step, self.metric = signals, step, metric

    def observe(self, point) -> None:
        if point.step == self.step and self.metric in point.metrics:
            self.signals.receive(signal.SIGTERM)


@pytest.mark.parametrize(
    ("step", "metric"),
    [(step, "train/loss_nats") for step in (1, 3, 4, 6)]
    + [(step, "validation/loss_nats") for step in (3, 6)],
)
def test_a_signal_saves_the_step_and_the_result_is_the_same(
    workspace, tiny_config, signals, step: int, metric: str
) -> None:
    config = tiny_config(checkpoint_every=6)
    whole = train(workspace, config)
    expected = points(whole)
    whole.directory.rename(workspace.root / "elsewhere")
    with pytest.raises(Interrupted):
        train(workspace, config, [SignalAt(signals, step, metric)])
    (stopped,) = list_runs(workspace.runs_dir)
    assert (stopped.status.state, stopped.status.step) == ("interrupted", step)
    assert stopped.status.reason == "interrupted by SIGTERM"
    assert [path.name for path in (stopped.directory / "checkpoints").glob("step-*")] == [
        f"step-{step:08d}"
    ]
    signals.requested = None
    assert points(train(workspace, config)) == expected


def test_a_prune_lost_to_a_signal_happens_on_resume(workspace, tiny_config, signals) -> None:
    class Pruner:
        def observe(self, point):
            if point.step == 3 and "validation/loss_nats" in point.metrics:
                return loop.Prune("too bad")
            return None

    config = tiny_config(checkpoint_every=6)
    with pytest.raises(Interrupted):
        train(workspace, config, [Pruner(), SignalAt(signals, 3, "validation/loss_nats")])
    signals.requested = None
    pruned = train(workspace, config, [Pruner()])
    assert (pruned.status.state, pruned.status.step) == ("pruned", 3)
    assert len([p for p in points(pruned) if p[1].startswith("validation")]) == 1


def test_a_finished_run_is_never_deleted(workspace, tiny_config) -> None:
    config = tiny_config()
    run = train(workspace, config)
    (run.directory / "my-notes.txt").write_text("mine")
    path = run.directory / "config.toml"
    path.write_text(path.read_text().replace("learning_rate = 0.003", "learning_rate = 0.004"))
    message = "config.toml was changed: training.learning_rate = 0.004 instead of 0.003"
    with pytest.raises(RecordError, match=message):
        train(workspace, config)
    assert (run.directory / "my-notes.txt").read_text() == "mine"
    assert (run.directory / "result.json").is_file()


@pytest.mark.parametrize("text", [None, "{", '{"state": "running"}'])
def test_a_finished_run_without_a_valid_status_is_not_trained_again(
    workspace, tiny_config, text
) -> None:
    run = train(workspace, tiny_config())
    path = run.directory / "status.json"
    path.unlink() if text is None else path.write_text(text)
    before = (run.directory / "metrics.jsonl").stat().st_mtime_ns
    assert train(workspace, tiny_config()).result == run.result
    assert (run.directory / "metrics.jsonl").stat().st_mtime_ns == before


def test_every_attempt_keeps_its_provenance(workspace, tiny_config, signals) -> None:
    config = tiny_config()
    for step in (2, 4):
        with pytest.raises(Interrupted):
            train(workspace, config, [SignalAt(signals, step)])
        signals.requested = None
    run = train(workspace, config)
    attempts = sorted(path.name for path in (run.directory / "attempts").iterdir())
    assert attempts == ["1", "2", "3"]
    times = [
        json.loads((run.directory / "attempts" / name / "provenance.json").read_text())["time"]
        for name in attempts
    ]
    assert times == sorted(times)
    assert run.provenance["time"] == times[-1]
    assert run.provenance["drift"] == []


def test_drift_is_rejected_named_and_recorded(workspace, tiny_config, signals, edit) -> None:
    config = tiny_config()
    with pytest.raises(Interrupted):
        train(workspace, config, [SignalAt(signals, 2)])
    signals.requested = None
    edit("switchhead_lab/model/router.py")
    torch.set_num_threads(torch.get_num_threads() + 1)
    try:
        with pytest.raises(RecordError, match="--allow-drift") as refused:
            train(workspace, config)
        assert "code: switchhead_lab/model/router.py changed" in str(refused.value)
        assert "threads: " in str(refused.value)
        (stopped,) = list_runs(workspace.runs_dir)
        assert stopped.status.attempt == 1
        run = train(workspace, config, policy=ChangePolicy(allows_drift=True))
    finally:
        torch.set_num_threads(torch.get_num_threads() - 1)
    assert run.result is not None
    assert run.provenance["drift"][0] == "code: switchhead_lab/model/router.py changed"


def test_without_a_checkpoint_there_is_no_drift(workspace, tiny_config, monkeypatch, edit) -> None:
    def fail(*_: object) -> None:
        raise TrainingError("no step was taken")

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_advance", fail)
        with pytest.raises(TrainingError):
            train(workspace, tiny_config())
    edit("switchhead_lab/model/router.py")
    assert train(workspace, tiny_config()).result is not None


def test_an_infinite_perplexity_is_readable(workspace, tiny_config) -> None:
    run = train(workspace, tiny_config())
    values = json.loads(run.result.model_dump_json())
    huge = {"validation_loss_nats": 800.0, "validation_perplexity": math.inf}
    written = RunResult.model_validate({**values, **huge}).model_dump_json()
    assert json.loads(written)["validation_perplexity"] is None
    (run.directory / "result.json").write_text(written)
    again = read_run(run.directory)
    assert again.result.value("validation", PERPLEXITY) == math.inf
    assert again.result.test == run.result.test


@pytest.mark.parametrize(
    ("error", "state", "cause"),
    [
        (torch.OutOfMemoryError("no memory"), "failed", "out of memory"),
        (MemoryError(), "failed", "out of memory"),
        (TrainingError("loss is nan", "non-finite"), "failed", "non-finite"),
        (ValueError("a bug"), "failed", "other"),
        (StorageError("optuna.db is locked"), "interrupted", ""),
        (OSError(28, "No space left on device"), "interrupted", ""),
        (KeyboardInterrupt(), "interrupted", ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_end_has_its_state_and_cause(
    workspace, tiny_config, monkeypatch, error, state: str, cause: str
) -> None:
    def advance(*_: object) -> None:
        raise error

    monkeypatch.setattr(loop.Trainer, "_advance", advance)
    with pytest.raises((KeyboardInterrupt, TrainingError, StorageError)):
        train(workspace, tiny_config())
    (run,) = list_runs(workspace.runs_dir)
    assert (run.status.state, run.status.cause) == (state, cause)
    assert observed_state(run) == state


def test_a_run_in_training_is_rejected_with_its_owner(workspace, tiny_config) -> None:
    run = train(workspace, tiny_config())
    (run.directory / "result.json").unlink()
    with (
        run_lock(workspace.runs_dir, run.run_hash),
        pytest.raises(RunBusyError, match=f"process {os.getpid()} on .* is training"),
    ):
        train(workspace, tiny_config())
