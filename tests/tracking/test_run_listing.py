import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from run_makers import MakeRun

from switchhead_lab.config.workspace import Workspace, WorkspaceSettings
from switchhead_lab.errors import RecordError
from switchhead_lab.tracking import record as records
from switchhead_lab.tracking.liveness import run_lock
from switchhead_lab.tracking.run_listing import RunSummary, list_summaries, select_runs
from switchhead_lab.tracking.unsynced import mark_unsynced


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, WorkspaceSettings())


@pytest.fixture
def read_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the names of the runs whose records are read."""
    names: list[str] = []
    read_run = records.read_run

    def spy(directory: Path) -> records.RunRecord:
        names.append(directory.name)
        return read_run(directory)

    monkeypatch.setattr(records, "read_run", spy)
    return names


@pytest.mark.parametrize("state", ["finished", "failed", "pruned"])
def test_an_ended_run_is_read_once(
    state: str, workspace: Workspace, make_run: MakeRun, read_names: list[str]
) -> None:
    name = make_run(state).name
    first = list_summaries(workspace)
    assert list_summaries(workspace) == first
    assert [one.state for one in first] == [state]
    assert read_names == [name]


def test_a_run_in_progress_is_read_every_time(
    workspace: Workspace, make_run: MakeRun, read_names: list[str]
) -> None:
    run = make_run("running")
    with run_lock(workspace.runs_dir, run.run_hash):
        assert [one.state for one in list_summaries(workspace)] == ["running"]
    assert [one.state for one in list_summaries(workspace)] == ["interrupted"]
    assert [one.state for one in list_summaries(workspace)] == ["interrupted"]
    assert len(read_names) == 3


def _change(file: str, **values: object) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        path = directory / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        (_change("result.json", test_perplexity=9.0), "headlines", {"test": "ppl 9.00"}),
        (_change("labels.json", sweep="other"), "sweep", "other"),
        (_change("status.json", started_at=5.0), "started_at", 5.0),
        (lambda directory: (directory / "result.json").unlink(), "n_parameters", None),
    ],
)
def test_a_changed_run_is_read_again(
    change: Callable[[Path], None],
    field: str,
    value: object,
    workspace: Workspace,
    make_run: MakeRun,
) -> None:
    run = make_run()
    list_summaries(workspace)
    change(run.directory)
    (summary,) = list_summaries(workspace)
    found = getattr(summary, field)
    assert value.items() <= found.items() if isinstance(value, dict) else found == value


def test_a_run_damaged_after_it_was_listed_is_reported(
    workspace: Workspace, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = make_run(), make_run(seed=1)
    list_summaries(workspace)
    (run.directory / "provenance.json").write_text("{")
    assert [one.name for one in list_summaries(workspace)] == [other.name]
    assert "provenance.json: damaged" in capsys.readouterr().err


def test_a_removed_run_disappears(workspace: Workspace, make_run: MakeRun) -> None:
    run, other = make_run(), make_run(seed=1)
    list_summaries(workspace)
    shutil.rmtree(run.directory)
    assert [one.name for one in list_summaries(workspace)] == [other.name]


def test_the_mark_of_a_missing_copy_is_not_cached(workspace: Workspace, make_run: MakeRun) -> None:
    run = make_run()
    list_summaries(workspace)
    (run.directory / "unsynced").unlink(missing_ok=True)
    assert [one.is_unsynced for one in list_summaries(workspace)] == [False]
    mark_unsynced(run.directory, "server is down")
    assert [one.is_unsynced for one in list_summaries(workspace)] == [True]


@pytest.mark.parametrize("contents", ["", "[]", '{"header": 3}', '{"header": null, "runs": {}}'])
def test_a_damaged_cache_is_rewritten(
    contents: str, workspace: Workspace, make_run: MakeRun, read_names: list[str]
) -> None:
    make_run()
    expected = list_summaries(workspace)
    (workspace.runs_dir / ".listing.json").write_text(contents)
    assert list_summaries(workspace) == expected
    assert list_summaries(workspace) == expected
    assert len(read_names) == 2


def test_other_plugins_read_the_records_again(
    tmp_path: Path, workspace: Workspace, make_run: MakeRun, read_names: list[str]
) -> None:
    make_run()
    list_summaries(workspace)
    list_summaries(Workspace(tmp_path, WorkspaceSettings(plugins=["mine.py"])))
    assert len(read_names) == 2


def test_a_folder_that_refuses_the_cache_is_listed(workspace: Workspace, make_run: MakeRun) -> None:
    name = make_run().name
    (workspace.runs_dir / ".listing.json").mkdir()
    assert [one.name for one in list_summaries(workspace)] == [name]


def test_a_workspace_without_runs_has_none_and_gets_no_file(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, WorkspaceSettings())
    assert list_summaries(workspace) == []
    assert not workspace.runs_dir.exists()


def test_a_listing_from_the_cache_does_not_load_the_schemas(
    workspace: Workspace, make_run: MakeRun
) -> None:
    run = make_run()
    list_summaries(workspace)
    (workspace.root / "lab.toml").write_text("")
    script = (
        "import sys; from switchhead_lab.cli.app import app\n"
        "try: app(['runs', 'list'])\n"
        "finally: print('switchhead_lab.config.schema' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=workspace.root,
        env={**os.environ, "LAB_HOME": str(workspace.root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.name in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_runs_are_selected_by_sweep_and_state(workspace: Workspace, make_run: MakeRun) -> None:
    names = [make_run(sweep="nightly").name, make_run("failed", seed=1).name]
    both = list_summaries(workspace)

    def selected(**filters: str) -> list[str]:
        return [one.name for one in select_runs(both, workspace, **filters)]

    assert sorted(selected()) == sorted(names)
    assert selected(sweep="nightly") == names[:1]
    assert selected(sweep="nightly", state="failed") == []
    assert selected(state="failed") == names[1:]
    with pytest.raises(RecordError, match='did you mean "nightly"'):
        selected(sweep="nihgtly")
    with pytest.raises(RecordError, match='did you mean "failed"'):
        selected(state="fialed")


def test_data_has_the_metrics_of_every_objective(workspace: Workspace, make_run: MakeRun) -> None:
    make_run()
    (summary,) = list_summaries(workspace)
    assert isinstance(summary, RunSummary)
    data = summary.as_data()
    assert (data["test_perplexity"], data["validation_accuracy"]) == (3.0, None)
    assert data["sweep"] == ""
