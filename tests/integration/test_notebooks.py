"""Notebooks run from top to bottom, in a workspace with a small sweep that states a claim."""

import json
import shutil
from pathlib import Path

import pytest
from tiny_sweep import DECLARATION

from switchhead_lab.config.files import parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.tracking.mlflow_index import NoIndex

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CLAIM = {
    "model": "two-heads",
    "quality": {"metric": "validation/loss", "kind": "not_worse", "margin": 0.5},
    "cost": {"parameters": 1.1},
}


def sources(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_notebook(name: str) -> dict[str, object]:
    path = ROOT / "notebooks" / f"{name}.ipynb"
    names: dict[str, object] = {}
    for source in sources(path):
        exec(compile(source, str(path), "exec"), names)
    return names


@pytest.fixture
def swept(workspace, monkeypatch):
    """A workspace in which a sweep has been run, as the working folder."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(workspace.root)
    models = [{"kind": "dense", "name": "two-heads", "n_heads": 2, "seeds": [0, 1]}]
    sweep = parse(Sweep, {**DECLARATION, "models": models, "claims": [CLAIM]}, "test")
    run_sweep(workspace, sweep, NoIndex(), lambda _text: None)
    return workspace


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_import_and_define_nothing(path: Path) -> None:
    assert not any("def " in source or "class " in source for source in sources(path))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)


def test_the_tour_leads_from_runs_to_the_verdict(swept) -> None:
    names = run_notebook("tour")
    assert len(names["finished"]) == 4  # type: ignore[arg-type]
    assert set(names["claims"]["verdict"]) <= {"supported", "refuted", "undecided"}  # type: ignore[index]
    assert len(names["measured"]) == 8  # type: ignore[arg-type]


def test_the_example_variant_is_checked_and_matched(workspace, monkeypatch) -> None:
    monkeypatch.chdir(workspace.root)
    shutil.copy(ROOT / "tests/plugins/my_variants.py", workspace.root)
    with (workspace.root / "lab.toml").open("a", encoding="utf-8") as file:
        file.write('plugins = ["my_variants.py"]\n')
    names = run_notebook("own_variant")
    assert list(names["matched"].index) == ["dense", "two-groups", "switchhead"]  # type: ignore[attr-defined]
    assert len(names["checks"]) > 5  # type: ignore[arg-type]


def test_the_audit_reproduces_the_published_figures() -> None:
    names = run_notebook("audit")
    agreement = names["agreement"]
    assert agreement["published"].sum() > agreement["executed"].sum()  # type: ignore[index]
    assert agreement["published"].sum() / len(agreement) > 0.9  # type: ignore[index,arg-type]
