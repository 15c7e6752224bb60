"""`lab sweep list` and `lab sweep show`: what sweeps compare, cost, and what was run."""

import json
import shutil
from pathlib import Path

import pytest
from shipped_sweeps import SHIPPED, SWEEPS
from typer.testing import CliRunner, Result

from switchhead_lab.cli.sweep import app
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import ConfigError
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels
from switchhead_lab.training.run import execute_run

WIDEST = 80


@pytest.fixture
def root(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the project's own sweeps and no runs."""
    shutil.rmtree(workspace.sweeps_dir)
    shutil.copytree(SWEEPS, workspace.sweeps_dir)
    monkeypatch.chdir(workspace.root)
    return workspace.root


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def line_of(output: str, *words: str) -> list[str]:
    """Return the cells of the only line that starts with these words."""
    (line,) = [x.split() for x in output.splitlines() if x.split()[: len(words)] == list(words)]
    return line


@pytest.mark.parametrize("command", ["list", "show"])
def test_help_has_an_example(command: str) -> None:
    output = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    assert f"Example: lab sweep {command}" in output


def test_list_names_the_papers_rows_and_unknown_times(root: Path) -> None:
    output = invoke("list").output
    assert "CPU h  GPU h" in output
    assert "2 c4 262M" in output
    of_table2 = output.partition("\npaper/table2-c4: ")[2].partition("\npaper/")[0]
    assert line_of(of_table2, "large")[-3:] == ["?", "?", "?"]
    assert "GPU hours are unknown: no finished run on a GPU is recorded here" in output
    assert max(map(len, output.splitlines())) <= WIDEST


def test_list_estimates_every_sweep_once_a_run_has_finished(
    root: Path, workspace: Workspace, tiny_config
) -> None:
    labels = RunLabels(size="tiny", variant="model")
    execute_run(workspace, tiny_config(), labels, index=NoIndex())
    output = invoke("list").output
    assert "CPU hours by 1 finished run on this machine: cpu (" in output
    assert "GPU hours are unknown" in output
    assert "rough" in output
    overviews = json.loads(invoke("list", "--json").stdout)
    assert all(o["cpu_hours"] > 0 and o["gpu_hours"] is None for o in overviews)
    by_name = {(o["sweep"], o["size"]): o for o in overviews}
    large = by_name["paper/table2-c4", "large"]
    assert (large["table"], large["paper_dataset"], large["paper_params"]) == (2, "c4", 262)
    assert by_name["paper/table4-c4", "small"]["table"] == 4
    assert by_name["smoke/matched-params", "smoke"]["table"] is None
    assert large["cpu_hours"] > 5 * by_name["paper/table2-c4", "small"]["cpu_hours"]


def test_show_takes_several_sweeps(root: Path) -> None:
    output = invoke("show", "paper/table1-wikitext103", "sweeps/paper/table2-c4.toml").output
    assert "table1-wikitext103, size pocket: parameter-matched" in output
    assert "table2-c4, size pocket: runs of 700 steps" in output
    assert output.count("GPU hours are unknown") == 1
    names = ("matched-params", "paper/table2-c4")
    shown = invoke("show", *names, "--json", "--set", "training.n_steps=90")
    ours, echo = json.loads(shown.stdout)
    assert (ours["sweep"], ours["size"], ours["n_steps"]) == ("matched-params", "pocket", 90)
    assert (echo["sweep"], echo["size"], echo["n_steps"]) == ("table2-c4", "pocket", 90)
    models = ["dense", "switchhead", "dense-2-heads"]
    assert [cost["name"] for cost in echo["costs"]] == models
    assert [row["model"] for row in echo["models"]] == models
    assert echo["costs"][0]["cpu_hours"] is None


def test_show_of_all_sweeps_of_the_paper(root: Path) -> None:
    paths = [str(path) for path in SHIPPED if path.parent.name == "paper"]
    assert len(paths) > 10
    details = json.loads(invoke("show", *paths, "--json").stdout)
    assert len(details) == len(paths)


def test_show_warns_of_models_off_their_budget(root: Path) -> None:
    """Steps of d_head are more than one percent of the attention MACs of a small model."""
    output = invoke("show", "matched-macs", "--size", "demo").output
    assert "candidates of switchhead are more than 1 % off the budget" in output
    assert "WARNING" not in invoke("show", "matched-params", "--size", "pocket").output


def test_show_rejects_a_mistake_in_any_name(root: Path) -> None:
    result = invoke("show", "matched-params", "paper/table2-c5")
    assert isinstance(result.exception, ConfigError)
    assert 'did you mean "paper/table2-c4"' in str(result.exception)
    assert not result.stdout


def test_unusable_files_hide_no_others(root: Path) -> None:
    (root / "sweeps" / "draft.toml").write_text('name = "draft"\n', encoding="utf-8")
    (root / "sweeps" / "smoke" / "torn.toml").write_bytes(b"name = '\xff")
    good = (root / "sweeps" / "smoke" / "matched-params.toml").read_text(encoding="utf-8")
    wide = "[sizes.odd]\nmodel = { d_model = 15 }\n"
    (root / "sweeps" / "smoke" / "half.toml").write_text(f"{good}\n{wide}", encoding="utf-8")
    (root / "sweeps" / "._tiny.toml").write_bytes(b"\0\5\x16\7\xff")
    result = invoke("list", "--json")
    assert result.exit_code == 0
    names = {(o["sweep"], o["size"]) for o in json.loads(result.stdout)}
    assert {("matched-params", "pocket"), ("smoke/half", "smoke")} <= names
    assert not {"draft", "smoke/torn", "._tiny"} & {name for name, _ in names}
    warnings = result.stderr.splitlines()
    assert [line.startswith("warning: skipped: ") for line in warnings] == [True] * 3
    for name in (
        "draft.toml: no [sizes.NAME] table",
        "torn.toml: not UTF-8",
        "half.toml: model.d_model = 15",
    ):
        assert name in result.stderr
    error = invoke("show", "draft").exception
    assert isinstance(error, ConfigError)
    assert "declare at least one size" in str(error)
