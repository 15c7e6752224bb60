"""Databases and artifacts go into the workspace folder, even if its name has special characters."""

from collections.abc import Callable
from pathlib import Path

import pytest

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.sweeping.study import open_study
from switchhead_lab.tracking.mlflow_sync import sync_workspace
from switchhead_lab.tracking.record import RunLabels, read_mlflow_link, read_run
from switchhead_lab.tracking.run_dir import RunDir

NAMES = ["what?now#a%20b &c=d", "what?now", "[b]", "ü"]
SWEEPS = Path(__file__).parents[2] / "sweeps"


@pytest.mark.parametrize("name", NAMES)
def test_databases_and_artifacts_stay_in_the_workspace(
    tmp_path: Path, tiny_config: Callable[..., RunConfig], name: str
) -> None:
    root = tmp_path / name
    (root / "runs").mkdir(parents=True)
    (root / "lab.toml").write_text("", encoding="utf-8")
    workspace = find_workspace(root, environment={})
    labels = RunLabels(size="tiny", variant="model")
    run = RunDir.open(workspace.runs_dir, tiny_config(), labels, {}, b"")
    run.close("failed", 1, "on purpose")
    assert sync_workspace(workspace, [read_run(run.path)]) == 1
    sweep = find_sweep(SWEEPS, "smoke/matched-params").resolve()
    study = open_study(workspace.study_storage, sweep, sweep.studies[0], workspace.runs_dir)
    assert study.best_point() is None
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {path.name for path in root.rglob("*.db")} == {"mlflow.db", "optuna.db"}
    assert all(path.parent == root / "runs" for path in root.rglob("*.db"))
    link = read_mlflow_link(run.path)
    assert link is not None
    (config,) = root.glob(f"runs/mlflow-artifacts/{link['run_id']}/artifacts/config.toml")
    assert config.is_file()
