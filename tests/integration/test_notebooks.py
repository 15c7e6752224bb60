"""Notebooks run from top to bottom in a workspace with runs."""

import json
from pathlib import Path

import pytest

from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels
from switchhead_lab.training.run import execute_run

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, workspace, tiny_config, monkeypatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(workspace.root)
    labels = RunLabels(size="tiny", variant="model")
    execute_run(workspace, tiny_config(), labels, index=NoIndex())
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    assert not any("def " in source or "class " in source for source in sources)
    namespace: dict[str, object] = {}
    for source in sources:
        exec(compile(source, str(path), "exec"), namespace)
    assert len(namespace["curves"]) > 0
