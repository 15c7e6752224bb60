"""Briefly trained runs, opened from a workspace that tests can remove."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from exported_models import SYLLABLES, TRAINING

from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.data.token_store import register
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels
from switchhead_lab.trained.run import TrainedRun, open_run
from switchhead_lab.training.run import execute_run


@pytest.fixture
def train(
    workspace: Workspace, tiny_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TrainedRun]:
    """Train for two steps; keyword arguments replace tables of the configuration."""
    monkeypatch.chdir(workspace.root)

    def run(**changes: object) -> TrainedRun:
        base = tiny_config(**TRAINING).model_dump(mode="json")
        config = parse(RunConfig, merge_trees(base, changes), "test")
        labels = RunLabels(size="tiny", variant="model")
        opened = open_run(execute_run(workspace, config, labels, index=NoIndex()).name)
        assert isinstance(opened, TrainedRun)
        return opened

    return run


@pytest.fixture
def remove_workspace(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Remove the workspace with its corpus, and leave its folder."""

    def remove() -> None:
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(workspace.root)
        (tmp_path / "words.txt").unlink()

    return remove


@pytest.fixture
def prose(workspace: Workspace, tmp_path: Path) -> str:
    """A corpus with enough words for SentencePiece."""
    draw = random.Random(0)
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(500)]
    lines = [" ".join(draw.choices(words, k=8)) for _ in range(400)]
    path = tmp_path / "prose.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    register(workspace.data_dir, path, "prose")
    return "prose"
