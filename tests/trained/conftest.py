"""Briefly trained runs, with their workspace as the current folder."""

from collections.abc import Callable

import pytest

from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels
from switchhead_lab.trained.run import TrainedRun, open_run
from switchhead_lab.training.run import execute_run

CLASSIFIER = {
    "objective": {"kind": "classification"},
    "data": {"kind": "listops", "max_depth": 2, "max_length": 12, "n_train": 64},
    "model": {
        "d_model": 8,
        "n_layers": 1,
        "seq_len": 14,
        "context_multiple": 1,
        "direction": "bidirectional",
        "attention": {"kind": "dense", "n_heads": 2, "d_head": 4},
        "feedforward": {"kind": "dense", "d_ff": 16},
    },
    "training": {
        "n_steps": 2,
        "batch_size": 16,
        "learning_rate": 3e-3,
        "clip_norm": 0.5,
        "validate_every": 2,
        "checkpoint_every": 2,
        "precision": "fp32",
    },
}


@pytest.fixture
def train(
    workspace: Workspace, tiny_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TrainedRun]:
    """Train the tiny configuration with some values replaced; return it as `open_run` does."""
    monkeypatch.chdir(workspace.root)

    def run(attention: str = "dense", *, name: str = "model", **changes: object) -> TrainedRun:
        tree = merge_trees(tiny_config(attention).model_dump(mode="json"), changes)
        labels = RunLabels(size="tiny", variant=name)
        config = parse(RunConfig, tree, "test")
        return open_run(execute_run(workspace, config, labels, index=NoIndex()).name)

    return run


@pytest.fixture
def classifier(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> TrainedRun:
    """A run that classifies ListOps examples."""
    monkeypatch.chdir(workspace.root)
    config = parse(RunConfig, CLASSIFIER, "test")
    labels = RunLabels(size="tiny", variant="classifier")
    return open_run(execute_run(workspace, config, labels, index=NoIndex()).name)
