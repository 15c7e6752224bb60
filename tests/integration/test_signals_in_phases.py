"""A signal in any phase of a sweep: true statuses, and the same results when it continues."""

import json
import os
import pkgutil
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from blank_figures import blanked
from sweep_outcome import assert_mirrored, outcome, sweep_record
from tiny_sweep import SWEEP

from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.data.token_store import register
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.tracking.interruption import SIGNALS, Interrupted, Interruption
from switchhead_lab.tracking.mlflow_index import open_workspace_index

# Functions, each with the number of the call in which the signal is sent.
PREPARING = (
    ("switchhead_lab.data.token_store:_fill", 1),
    ("switchhead_lab.data.tokenisation:_run_trainer", 1),
    ("switchhead_lab.data.token_store:write_tokens", 3),
    ("switchhead_lab.data.token_store:require_targets", 1),
)
RUNNING = (
    ("switchhead_lab.tracking.mlflow_store:MlflowStore.__init__", 1),
    ("switchhead_lab.tracking.mlflow_store:MlflowStore.begin_run", 3),
    ("switchhead_lab.training.run:collect_provenance", 1),
    ("switchhead_lab.training.run:_open_run_dir", 1),
    ("switchhead_lab.training.loop:Trainer.score", 3),
    ("switchhead_lab.training.step:StepRunner.step", 6),
    ("switchhead_lab.tracking.run_dir:RunDir.finish", 3),
    ("switchhead_lab.sweeping.study:SearchStudy.propose", 1),
    ("switchhead_lab.sweeping.study:SearchStudy.finish", 1),
)
MORE = (
    ("switchhead_lab.tracking.mlflow_store:MlflowStore.replay_sweep", 1),
    ("switchhead_lab.tracking.mlflow_store:MlflowStore.replay_sweep", 2),
    ("switchhead_lab.tracking.mlflow_store:MlflowStore.begin_run", 1),
    ("switchhead_lab.tracking.mlflow_store:MlflowStore.replay_run", 1),
    ("switchhead_lab.tracking.mlflow_store:MlflowStore.replay_run", 4),
    ("switchhead_lab.training.run:open_dataset", 1),
    ("switchhead_lab.training.run:open_dataset", 3),
    ("switchhead_lab.training.run:prepare_setup", 1),
    ("switchhead_lab.training.run:collect_provenance", 3),
    ("switchhead_lab.training.run:_open_run_dir", 3),
    ("switchhead_lab.training.run:build_model", 1),
    ("switchhead_lab.training.run:build_model", 4),
    ("switchhead_lab.training.loop:Trainer.score", 1),
    ("switchhead_lab.training.loop:Trainer.score", 9),
    ("switchhead_lab.training.loop:Trainer._save", 1),
    ("switchhead_lab.training.loop:Trainer._save", 6),
    ("switchhead_lab.training.step:StepRunner.step", 1),
    ("switchhead_lab.training.step:StepRunner.step", 13),
    ("switchhead_lab.tracking.run_dir:RunDir.add", 1),
    ("switchhead_lab.tracking.run_dir:RunDir.add", 14),
    ("switchhead_lab.tracking.run_dir:RunDir.finish", 1),
    ("switchhead_lab.tracking.run_dir:RunDir.close", 1),
    ("switchhead_lab.tracking.run_dir:RunDir.close", 4),
    ("switchhead_lab.sweeping.schedule:open_study", 1),
    ("switchhead_lab.tracking.sweep_dir:SweepDir.write", 1),
    ("switchhead_lab.tracking.sweep_dir:SweepDir.write", 3),
    ("switchhead_lab.tracking.sweep_dir:SweepDir.write", 6),
    ("switchhead_lab.sweeping.study:SearchStudy.propose", 3),
    ("switchhead_lab.sweeping.study:SearchStudy.begin", 1),
    ("switchhead_lab.sweeping.study:SearchStudy.begin", 2),
    ("switchhead_lab.sweeping.pruning:PruningHook.observe", 1),
    ("switchhead_lab.sweeping.pruning:PruningHook.observe", 8),
    ("switchhead_lab.sweeping.study:SearchStudy.prune", 1),
)
USUAL = (("switchhead_lab.training.step:StepRunner.step", 6),)
PIECES = SWEEP.replace('{ kind = "byte" }', '{ kind = "sentencepiece", vocab_size = 300 }')


def make_workspace(root: Path) -> Workspace:
    (root / "sweeps").mkdir(parents=True)
    (root / "lab.toml").write_text('device = "cpu"\n')
    (root / "sweeps/tiny.toml").write_text(PIECES)
    workspace = find_workspace(root, environment={})
    register(workspace.data_dir, write_text(root / "words.txt"), "words")
    return workspace


def write_text(path: Path) -> Path:
    """Write a text with enough different words for SentencePiece."""
    generator = random.Random(0)
    syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
    words = ["".join(generator.choices(syllables, k=3)) for _ in range(300)]
    lines = (" ".join(generator.choices(words, k=6)) for _ in range(300))
    path.write_text("\n".join(lines) + "\n")
    return path


def sweep(workspace: Workspace) -> None:
    declaration = find_sweep(workspace.sweeps_dir, "tiny").resolve()
    run_sweep(workspace, declaration, open_workspace_index(workspace), lambda _text: None)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Outcome of an undisturbed sweep."""
    workspace = make_workspace(tmp_path_factory.mktemp("whole") / "lab")
    sweep(workspace)
    with blanked():
        return outcome(workspace)


def send_signal_in(
    monkeypatch: pytest.MonkeyPatch, place: str, number: signal.Signals, nth_call: int
) -> None:
    """Send this process a signal at the start of the given call of a function."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = pkgutil.resolve_name(":".join([module, ".".join(owners)]) if owners else module)
    original = getattr(owner, name)
    calls: Iterator[int] = iter(range(1, nth_call))

    def call(*arguments, **options):
        if next(calls, None) is None and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)
        return original(*arguments, **options)

    sent: list[int] = []
    monkeypatch.setattr(owner, name, call)


def leftovers(root: Path) -> list[Path]:
    return [path for path in root.rglob(".*") if path.suffix == ".tmp" or ".tmp" in path.name]


def cases() -> Iterator[object]:
    """Yield every case; mostly redundant ones run only in the drill."""
    for number, (place, nth_call) in enumerate((*PREPARING, *RUNNING, *MORE)):
        mark = pytest.mark.drill if (place, nth_call) in MORE else pytest.mark.thorough
        marks = [] if (place, nth_call) in USUAL else [mark]
        name = f"{place.rpartition(':')[2]}-{nth_call}"
        signal_number = SIGNALS[number % len(SIGNALS)]
        yield pytest.param(place, nth_call, signal_number, marks=marks, id=name)


@pytest.mark.parametrize(("place", "nth_call", "number"), list(cases()))
def test_a_signal_in_any_phase(
    tmp_path: Path,
    expected: dict[str, object],
    signals: Interruption,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    nth_call: int,
    number: signal.Signals,
) -> None:
    workspace = make_workspace(tmp_path / "lab")
    with monkeypatch.context() as patch:
        send_signal_in(patch, place, number, nth_call)
        with pytest.raises(Interrupted) as caught:
            sweep(workspace)
    assert caught.value.number == number
    assert leftovers(workspace.root) == []
    if (place, nth_call) not in PREPARING:
        assert "running" not in [member.state for member in sweep_record(workspace).members]
        statuses = [json.loads(p.read_text()) for p in workspace.runs_dir.glob("*/status.json")]
        assert "running" not in [status["state"] for status in statuses]
        assert_mirrored(workspace)
    signals.requested = None
    sweep(workspace)
    assert outcome(workspace) == expected
    assert_mirrored(workspace)
