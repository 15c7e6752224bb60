"""Fixtures for all tests: a small workspace of its own, never the project's."""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine, event

from switchhead_lab import frozen_model
from switchhead_lab.config import plugins
from switchhead_lab.config.files import parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.tracking.interruption import SIGNALS, Interruption, interruption

pytest_plugins = [
    *("record_fixtures", "edited_code", "postgresql", "object_store", "ready_databases"),
    *("blank_figures", "once_per_process", "short_waits"),
    "slurm_cluster",
]

# Before MLflow or Optuna can be imported by any test.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

_FP32_PRECISION = torch.backends.mkldnn.matmul.fp32_precision

WORDS = ("river", "stone", "lamp", "winter", "bread", "glass", "music", "garden", "paper", "horse")

ATTENTION = {
    "dense": {"kind": "dense", "n_heads": 4, "d_head": 4},
    "switchhead": {"kind": "switchhead", "n_heads": 2, "d_head": 4, "n_experts": 3, "top_k": 2},
}


def _write_corpus(path: Path, n_lines: int = 90) -> Path:
    """Write a text with some structure: lines of words whose order follows a rule."""
    lines = []
    for number in range(n_lines):
        start = (number * 7) % len(WORDS)
        lines.append(" ".join(WORDS[(start + step * 3) % len(WORDS)] for step in range(6)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def write_corpus() -> Callable[..., Path]:
    """Write a small structured text to a path."""
    return _write_corpus


@pytest.fixture(scope="session", autouse=True)
def _no_waits_for_the_disk() -> Iterator[None]:
    """Leave writing to the system: files of tests need not survive a loss of power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        event.listen(Engine, "connect", _write_without_waiting)
        yield
        event.remove(Engine, "connect", _write_without_waiting)


def _write_without_waiting(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(autouse=True)
def _float32_products_by_default() -> Iterator[None]:
    """Take back what a run sets for its process: bits must not depend on which test came before."""
    torch.backends.mkldnn.matmul.fp32_precision = _FP32_PRECISION
    yield
    torch.backends.mkldnn.matmul.fp32_precision = _FP32_PRECISION


@pytest.fixture(autouse=True)
def _forget_plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Unregister the variants of plugins that a test loaded, and forget the modules beside them."""
    yield
    if plugins._loaded:
        folder = str(tmp_path_factory.getbasetemp())
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(folder):
                del sys.modules[name]
        for module in list(plugins._loaded):
            plugins._unload(module)
        # Those that stay would be rebuilt after every further test with a plugin.
        frozen_model._classes[:] = [
            schema
            for schema in frozen_model._classes
            if getattr(schema, "variant", schema).__module__ in sys.modules
        ]
        frozen_model.rebuild_schemas()


@pytest.fixture(autouse=True)
def _no_workspace_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_HOME", raising=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with the corpus "words" registered, on the CPU, without MLflow."""
    from switchhead_lab.data.token_store import register

    root = tmp_path / "lab"
    (root / "sweeps").mkdir(parents=True)
    (root / "lab.toml").write_text('tracking_uri = "none"\ndevice = "cpu"\n', encoding="utf-8")
    found = find_workspace(root, environment={})
    register(found.data_dir, _write_corpus(tmp_path / "words.txt"), "words")
    return found


@pytest.fixture
def signals() -> Iterator[Interruption]:
    """Signals of this process, taken over for a test; set `requested` to None to continue."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    state = dict(vars(interruption))
    for number in SIGNALS:  # even where this suite was started to ignore some
        signal.signal(number, signal.SIG_DFL)
    interruption.install()
    yield interruption
    vars(interruption).update(state)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def tiny_config() -> Callable[..., RunConfig]:
    """Make a configuration that trains in a second; keyword arguments replace training values."""

    def make(attention: str = "dense", *, seed: int = 0, **training: object) -> RunConfig:
        values = {
            "n_steps": 6,
            "batch_size": 4,
            "learning_rate": 3e-3,
            "n_warmup_steps": 2,
            "clip_norm": 0.25,
            "validate_every": 3,
            "checkpoint_every": 2,
            "log_every": 1,
            "precision": "fp32",
            **training,
        }
        tree = {
            "seed": seed,
            "data": {"corpus": "words", "tokenizer": {"kind": "byte"}},
            "model": {
                "d_model": 16,
                "n_layers": 2,
                "seq_len": 16,
                "attention": ATTENTION[attention],
                "feedforward": {"kind": "dense", "d_ff": 32, "p_dropout": 0.1},
            },
            "training": values,
        }
        return parse(RunConfig, tree, "test")

    return make
