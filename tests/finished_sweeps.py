"""Runs and sweeps that a test only starts from: trained once per process, then copied."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Hashable
from pathlib import Path

from command_line import lab
from tiny_runs import train

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunRecord, list_runs
from switchhead_lab.tracking.sweep_record import SweepRecord

_known: dict[Hashable, Path] = {}
_records: dict[str, SweepRecord] = {}


def finished(workspace: Workspace, sweep: Sweep) -> SweepRecord:
    """Return the record of a sweep after running it in a workspace without runs."""
    key = sweep.model_dump_json()

    def run() -> None:
        _records[key] = run_sweep(workspace, sweep, NoIndex(), lambda _text: None)

    _fill_once(workspace.root, key, run)
    return _records[key]


def swept(root: Path, name: str, *options: str) -> None:
    """Run `lab sweep` in a workspace without runs, MLflow and plugins."""
    files = [*sorted((root / "sweeps").rglob("*.toml")), root / "lab.toml"]
    texts = tuple(path.read_text(encoding="utf-8") for path in files)
    _fill_once(root, (name, options, texts), lambda: lab("sweep", name, *options, cwd=root))


def trained(workspace: Workspace, config: RunConfig) -> RunRecord:
    """Return a run of a configuration after training it in a workspace without runs."""
    _fill_once(workspace.root, config.model_dump_json(), lambda: train(workspace, config))
    (run,) = list_runs(workspace.runs_dir)
    return run


def _fill_once(root: Path, key: Hashable, fill: Callable[[], object]) -> None:
    """Fill a workspace that has no runs, by a copy of the one that was filled in the same way.

    All such workspaces have the corpus "words" of the fixture `workspace`.
    """
    assert not (root / "runs").exists()
    if key in _known:
        shutil.copytree(_known[key], root, copy_function=_copy_new, dirs_exist_ok=True)
        return
    fill()
    folder = Path(tempfile.mkdtemp(prefix="finished-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for part in ("runs", "data"):
        shutil.copytree(root / part, folder / part)
    _known[key] = folder


def _copy_new(source: str, target: str) -> None:
    if not Path(target).exists():  # the registered corpus stays that of its workspace
        shutil.copy2(source, target)
