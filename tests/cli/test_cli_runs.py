import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from switchhead_lab.cli.runs import app
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError, RecordError, WorkspaceError
from switchhead_lab.tracking.record import MetricPoint, RunLabels
from switchhead_lab.tracking.run_dir import RunDir


@pytest.fixture
def run_names(
    workspace: Workspace, tiny_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Two failed runs of different variants, in a workspace without MLflow."""
    monkeypatch.chdir(workspace.root)
    workspace.runs_dir.mkdir()
    names = []
    for variant in ("dense", "switchhead"):
        labels = RunLabels(size="tiny", variant=variant)
        run = RunDir.open(workspace.runs_dir, tiny_config(variant), labels, {}, b"")
        run.add(MetricPoint(1, 64, 1_700_000_000.0, {"train/loss_nats": 2.0}))
        run.close("failed", 1, "on purpose")
        names.append(run.path.name)
    return names


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("command", ["list", "show", "diff", "sync"])
def test_help_ends_with_an_example(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"Example: lab runs {command}" in result.output


def test_list_prints_one_line_per_run(run_names: list[str]) -> None:
    output = invoke("list").output
    for heading in ("run", "state", "step", "validation", "parameters", "ms/step"):
        assert heading in output
    assert [name in output for name in run_names] == [True, True]
    assert output.count("failed") == 2
    nothing = invoke("list", "--state", "finished").output
    assert nothing.startswith("no finished runs in ")
    assert "which has 2 runs in all" in nothing


def test_lists_fit_80_columns_without_wide(run_names: list[str]) -> None:
    lines = invoke("list").output.splitlines()[1:]  # without the path of the folder
    assert max(map(len, lines)) <= 80
    assert max(map(len, invoke("diff", *run_names).output.splitlines())) <= 80
    wide = invoke("list", "--wide").output
    assert all(name in wide for name in run_names)
    assert "started" in wide


def test_list_as_json(run_names: list[str]) -> None:
    runs = json.loads(invoke("list", "--state", "failed", "--json").stdout)
    assert [run["name"] for run in runs] == run_names
    assert [run["step"] for run in runs] == [1, 1]
    assert json.loads(invoke("list", "--state", "finished", "--json").stdout) == []


def test_a_damaged_run_does_not_break_the_list(run_names: list[str], workspace: Workspace) -> None:
    (workspace.runs_dir / run_names[0] / "result.json").write_text("{", encoding="utf-8")
    result = invoke("list", "--json")
    assert result.exit_code == 0
    assert [run["name"] for run in json.loads(result.stdout)] == run_names[1:]
    assert result.stderr.startswith("warning: skipped: ")
    assert run_names[0] in result.stderr


def test_list_rejects_an_unknown_state(run_names: list[str]) -> None:
    assert isinstance(invoke("list", "--state", "done").exception, RecordError)


def test_show_takes_a_name_or_a_hash(run_names: list[str]) -> None:
    by_name = invoke("show", run_names[0]).output
    by_hash = invoke("show", run_names[0].rpartition("-")[2]).output
    assert by_name == by_hash
    assert "on purpose" in by_name
    assert "d_model = 16" in by_name
    assert json.loads(invoke("show", run_names[0], "--json").stdout)["name"] == run_names[0]
    assert isinstance(invoke("show", "nothing").exception, RecordError)


def test_diff_shows_only_differences(run_names: list[str]) -> None:
    output = invoke("diff", *run_names).output
    assert "model.attention.n_experts" in output
    assert "d_model" not in output
    assert "neither run has a result" in output
    assert "same configuration" in invoke("diff", run_names[0], run_names[0]).output


def test_diff_as_json(run_names: list[str]) -> None:
    found = json.loads(invoke("diff", *run_names, "--json").stdout)
    assert (found["runs"], found["results"]) == (run_names, [])
    fields = {one["field"]: (one["first"], one["second"]) for one in found["fields"]}
    assert fields["model.attention.n_experts"] == (None, 3)
    assert "model.d_model" not in fields


def test_sync_without_mlflow_is_an_error(run_names: list[str]) -> None:
    assert isinstance(invoke("sync").exception, WorkspaceError)


def test_sync_copies_runs_to_mlflow(run_names: list[str], workspace: Workspace) -> None:
    settings = 'tracking_uri = "sqlite:///runs/mlflow.db"\n'
    (workspace.root / "lab.toml").write_text(settings, encoding="utf-8")
    assert invoke("sync", run_names[0]).output == "runs up to date in MLflow: 1\n"
    assert invoke("sync").output == "runs up to date in MLflow: 2\n"
    assert invoke("sync", "--unsynced").output == "runs up to date in MLflow: 0\n"
    link = Path(workspace.runs_dir / run_names[1] / "mlflow.json")
    assert json.loads(link.read_text(encoding="utf-8"))["run_id"]
    assert isinstance(invoke("sync", "nothing").exception, LabError)


def test_list_ends_with_the_number_of_unsynced_runs(
    run_names: list[str], workspace: Workspace
) -> None:
    assert "not in MLflow" not in invoke("list").output
    (workspace.runs_dir / run_names[0] / "unsynced").write_text("why\n", encoding="utf-8")
    output = invoke("list").output
    assert "unsynced" in output
    assert output.endswith("1 run is not in MLflow yet: lab runs sync\n")
    assert len(json.loads(invoke("list", "--json").stdout)) == 2
