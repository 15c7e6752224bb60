"""A workspace that was moved or copied, to another path or machine, goes on as before."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from command_line import lab
from plugin_workspace import make_plugin_workspace
from tiny_runs import StopAtFour, train
from tiny_sweep import SWEEP

from switchhead_lab.config.files import to_toml
from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.tracking.mlflow_index import EXPERIMENT, artifact_dir
from switchhead_lab.tracking.mlflow_pages import page_of_run
from switchhead_lab.tracking.mlflow_store import prepare_experiment
from switchhead_lab.tracking.record import RunRecord, list_runs

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, write_corpus) -> Path:
    """A workspace with MLflow, a plugin, a sweep with a search, and its report."""
    root = tmp_path_factory.mktemp("moved") / "first place"
    make_plugin_workspace(root, write_corpus, SWEEP.replace("n_trials = 2", "n_trials = 1"))
    lab("sweep", "tiny", cwd=root)
    lab("report", "tiny", cwd=root)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def runs_in(root: Path) -> list[RunRecord]:
    return list_runs(find_workspace(root, environment={}).runs_dir)


def go_on(root: Path, tiny_config) -> None:
    """Continue the sweep, an interrupted run, and everything that reads records."""
    (root / "sweeps/tiny.toml").write_text(SWEEP)
    lab("sweep", "tiny", cwd=root)
    (sweep,) = json.loads(lab("runs", "list", "--sweep", "tiny", "--json", cwd=root).stdout)[:1]
    assert sweep["state"] == "finished"
    lab("report", "tiny", cwd=root)
    (root / "model.toml").write_text(to_toml(tiny_config(seed=7)))
    lab("train", "model.toml", cwd=root)
    assert "passed" in lab("verify", cwd=root).stdout
    findings = json.loads(lab("doctor", "--json", cwd=root).stdout)
    assert findings[-1]["finding"].endswith("nothing to mend")
    names = [run.name for run in runs_in(root)]
    assert "identical" in lab("reproduce", names[0], "--steps", "2", cwd=root).stdout


def interrupt_a_run(root: Path, tiny_config) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(find_workspace(root, environment={}), tiny_config(seed=7), [StopAtFour()])


def assert_pages_are_right(root: Path) -> None:
    """Check the address of `lab ui` and of each run's page."""
    workspace = find_workspace(root, environment={})
    experiment = prepare_experiment(workspace.tracking_uri, artifact_dir(workspace), EXPERIMENT)
    pages = [page_of_run(run.directory, workspace.tracking_uri) for run in runs_in(root)]
    assert all(page is not None and f"/experiments/{experiment}/runs/" in page for page in pages)
    assert len(set(pages)) == len(pages)


def mentions(root: Path, old: str) -> list[str]:
    """Return the files that name the old place, and the columns of databases that do."""
    own = ("words.txt",)
    found = [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.name not in own and ".db" not in path.name
        if path.parent.name != "__pycache__"  # Python corrects the path when it loads a module
        if old.encode() in path.read_bytes()
    ]
    for path in root.glob("runs/*.db"):
        with closing(sqlite3.connect(path)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
                found += [f"{path.name}: {table}"] * any(old in str(row) for row in rows)
    return sorted(found)


def test_a_moved_workspace_goes_on(original: Path, tmp_path: Path, tiny_config) -> None:
    old = Path(shutil.copytree(original, tmp_path / "before"))
    lab("runs", "sync", cwd=old)  # so that the copy has its own paths
    interrupt_a_run(old, tiny_config)
    n_runs, trained = len(runs_in(old)), {run.name: run.status.attempt for run in runs_in(old)}
    new = tmp_path / "other disk" / "after"
    new.parent.mkdir()
    old.rename(new)
    assert len(runs_in(new)) == n_runs
    go_on(new, tiny_config)
    assert not old.exists()
    after = {run.name: run.status.attempt for run in runs_in(new)}
    interrupted = {name for name, attempt in trained.items() if after[name] != attempt}
    (resumed,) = [run for run in runs_in(new) if run.name in interrupted]
    assert (resumed.status.attempt, resumed.config.seed) == (2, 7)
    assert_pages_are_right(new)
    # The path of a registered text is asked for only to tokenise it again.
    for place in (old, original):
        found = mentions(new, f"{place}/")
        assert [name for name in found if name != "data/words/corpus.json"] == []


def test_a_copy_and_its_original_go_on_independently(
    original: Path, tmp_path: Path, tiny_config
) -> None:
    first = Path(shutil.copytree(original, tmp_path / "first"))
    lab("runs", "sync", cwd=first)
    copy = Path(shutil.copytree(first, tmp_path / "copy"))
    before = contents(first)
    go_on(copy, tiny_config)
    assert contents(first) == before
    before = contents(copy)
    go_on(first, tiny_config)
    assert contents(copy) == before
    for root in (first, copy):
        assert_pages_are_right(root)
    assert mentions(copy, f"{first}/") == []
    names = [{run.name for run in runs_in(root)} for root in (first, copy)]
    assert names[0] == names[1]


def test_another_machine_goes_on_too(
    original: Path, tmp_path: Path, tiny_config, monkeypatch
) -> None:
    """Another host name, user and home; locks and PIDs of the first machine mean nothing."""
    root = Path(shutil.copytree(original, tmp_path / "elsewhere"))
    interrupt_a_run(root, tiny_config)
    for path in root.glob("runs/*/status.json"):
        status = json.loads(path.read_text())
        path.write_text(json.dumps({**status, "host": "another-machine", "pid": 1}))
    (run,) = [run for run in runs_in(root) if run.result is None]
    status = json.loads((run.directory / "status.json").read_text())
    (run.directory / "status.json").write_text(json.dumps({**status, "state": "running"}))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME", str(Path.home())))
    done = lab("doctor", "--fix", cwd=root)
    assert "interrupted at step 4" in " ".join(done.stdout.split())
    go_on(root, tiny_config)
