"""The parent run of a sweep in MLflow shows its report, page and verdicts."""

from pathlib import Path

import pytest
from command_line import lab
from mlflow_runs import all_runs
from tiny_sweep import SWEEP

from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.tracking.mlflow_index import EXPERIMENT, artifact_dir
from switchhead_lab.tracking.mlflow_store import MlflowStore

CLAIM = """
[[claims]]
model = "two-heads"
cost = { parameters = 1.1 }
"""


@pytest.fixture
def root(workspace) -> Path:
    """The workspace, with MLflow in its own database."""
    (workspace.root / "lab.toml").write_text('device = "cpu"\n', encoding="utf-8")
    declaration = SWEEP[: SWEEP.index("[[studies]]")] + CLAIM + "[sizes.small]\n"
    (workspace.sweeps_dir / "tiny.toml").write_text(declaration, encoding="utf-8")
    return workspace.root


def test_the_parent_run_has_report_page_and_verdicts(root: Path) -> None:
    lab("sweep", "tiny", cwd=root)
    workspace = find_workspace(root, environment={})
    store = MlflowStore(workspace.tracking_uri, EXPERIMENT, artifact_dir(workspace))
    (parent,) = [run for run in all_runs(store) if "lab.sweep_id" in run.data.tags]
    files = {file.path for file in store.client.list_artifacts(parent.info.run_id, "report")}
    assert {"report/page.html", "report/report.md", "report/claims.csv"} <= files
    assert {"report/loss-curves.png", "report/table.csv"} <= files
    note = parent.data.tags["mlflow.note.content"]
    assert "| two-heads-vs-dense" in note
    assert "supported" in note
    local = store.client.download_artifacts(parent.info.run_id, "report/page.html", str(root))
    assert "<html" in Path(local).read_text(encoding="utf-8")
    lab("runs", "sync", cwd=root)
    assert {f.path for f in store.client.list_artifacts(parent.info.run_id, "report")} == files


def test_without_mlflow_a_sweep_writes_no_report(workspace, root: Path) -> None:
    text = 'device = "cpu"\ntracking_uri = "none"\n'
    (root / "lab.toml").write_text(text, encoding="utf-8")
    lab("sweep", "tiny", cwd=root)
    assert not workspace.reports_dir.exists()
