"""`lab doctor` finds what killed processes left behind; `--fix` mends it, and only that."""

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from command_line import lab
from finished_sweeps import trained
from tiny_runs import StopAtFour, train

from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.tracking.liveness import hold_run
from switchhead_lab.tracking.record import RunRecord, list_runs, read_status

OLD = time.time() - 7200


def records(root: Path, *options: str, code: int = 0) -> list[dict[str, str]]:
    """Return the findings of `lab doctor` about records."""
    findings = json.loads(lab("doctor", "--json", *options, cwd=root, code=code).stdout)
    subjects = ("records", "orphaned run", "leftover", "MLflow", "MLflow copy", "damaged run")
    return [one for one in findings if one["subject"] in (*subjects, "mended", "not mended")]


def subjects(found: list[dict[str, str]]) -> list[str]:
    return [one["subject"] for one in found]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p): p.read_bytes() for p in files if "mlflow" not in str(p) and p.suffix != ".lock"}


@pytest.fixture
def killed(workspace: Workspace, tiny_config) -> RunRecord:
    """A run whose process was killed after its fourth step."""
    with pytest.raises(KeyboardInterrupt):
        train(workspace, tiny_config(), [StopAtFour()])
    [run] = list_runs(workspace.runs_dir)
    path = run.directory / "status.json"
    status = {**json.loads(path.read_text()), "state": "running", "step": 0, "reason": ""}
    path.write_text(json.dumps({**status, "ended_at": None}))
    return run


def test_without_anything_to_mend_nothing_changes(workspace: Workspace, tiny_config) -> None:
    trained(workspace, tiny_config())
    before = contents(workspace.runs_dir)
    assert [one["finding"] for one in records(workspace.root)] == ["1 run, nothing to mend"]
    assert subjects(records(workspace.root, "--fix")) == ["records"]
    assert contents(workspace.runs_dir) == before


def test_an_orphaned_run_is_closed_and_can_be_continued(
    workspace: Workspace, killed: RunRecord, tiny_config
) -> None:
    (found,) = records(workspace.root)
    assert found["subject"] == "orphaned run"
    assert killed.name in found["finding"]
    assert "lab doctor --fix" in found["advice"]
    assert read_status(killed.directory).state == "running"
    _, mended = records(workspace.root, "--fix")
    assert mended["finding"] == f"{killed.name}: interrupted at step 4"
    status = read_status(killed.directory)
    assert (status.state, status.step) == ("interrupted", 4)
    assert "without writing a status" in status.reason
    assert subjects(records(workspace.root, "--fix")) == ["records"]
    assert "passed" in lab("verify", cwd=workspace.root).stdout
    run = train(workspace, tiny_config())
    assert (run.status.state, run.status.attempt) == ("finished", 2)


def test_a_run_that_is_being_trained_is_left_alone(workspace: Workspace, killed) -> None:
    leftover = killed.directory / "checkpoints" / ".step-00000006.12ab34cd.tmp"
    leftover.mkdir()
    before = contents(workspace.runs_dir)
    with hold_run(workspace.runs_dir, killed.run_hash):
        assert subjects(records(workspace.root, "--fix")) == ["records"]
    assert contents(workspace.runs_dir) == before
    assert leftover.is_dir()


def make_old(path: Path) -> None:
    for one in (*path.rglob("*"), path):
        os.utime(one, (OLD, OLD))


PLACES = (
    *("runs/.words-x-00000000.17.tmp", "runs/.import.0123abcd.tmp", "runs/RUN/.status.json.ab.tmp"),
    *("runs/RUN/evaluation/.x.json.0123abcd.tmp", "runs/RUN/.mlflow.json.0123abcd.tmp"),
    *("runs/sweeps/tiny/.sweep.json.0123abcd.tmp", "data/words/.byte.0123abcd.tmp"),
    *("runs/.mlflow.db.0123abcd.new", "exports/.mine.0123abcd.tmp", "reports/.x.0123abcd.tmp"),
)


@pytest.mark.parametrize("place", PLACES)
def test_old_leftovers_are_removed_and_recent_ones_kept(
    workspace: Workspace, tiny_config, place: str
) -> None:
    run = trained(workspace, tiny_config())
    path = workspace.root / place.replace("RUN", run.name)
    (path / "inside").mkdir(parents=True)
    (path / "inside" / "x").write_text("x")
    assert subjects(records(workspace.root, "--fix")) == ["records"]
    make_old(path)
    before = {k: v for k, v in contents(workspace.root).items() if str(path) not in k}
    found, mended = records(workspace.root, "--fix")
    assert (found["subject"], mended["finding"]) == ("leftover", f"{path}: removed")
    assert not path.exists()
    assert contents(workspace.root) == before
    assert subjects(records(workspace.root, "--fix")) == ["records"]


def test_an_incomplete_checkpoint_of_a_killed_process_is_removed(
    workspace: Workspace, killed
) -> None:
    folder = killed.directory / "checkpoints"
    (folder / "step-00000006").mkdir()
    (folder / "step-00000006" / "tensors.safetensors").write_text("partial")
    (folder / ".step-00000006.0123abcd.tmp").mkdir()
    kept = sorted(path.name for path in folder.glob("step-0000000[24]"))
    assert subjects(records(workspace.root)).count("leftover") == 2
    records(workspace.root, "--fix")
    assert sorted(path.name for path in folder.iterdir()) == kept


def test_files_that_only_look_like_leftovers_are_kept(workspace: Workspace, tiny_config) -> None:
    trained(workspace, tiny_config())
    names = ("notes.tmp", ".hidden", ".x.tmp.txt", "superseded/.a.0123abcd.tmp/x")
    for name in names:
        path = workspace.runs_dir / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("mine")
        os.utime(path, (OLD, OLD))
    assert subjects(records(workspace.root, "--fix")) == ["records"]
    assert all((workspace.runs_dir / name).exists() for name in names)


@pytest.fixture
def tracked(workspace: Workspace, tiny_config) -> Workspace:
    """A workspace with MLflow and two synced runs."""
    for seed in (0, 1):
        train(workspace, tiny_config(seed=seed))
    (workspace.root / "lab.toml").write_text('device = "cpu"\n')
    lab("runs", "sync", cwd=workspace.root)
    return find_workspace(workspace.root, environment={})


def names_in_mlflow(workspace: Workspace) -> set[str]:
    with closing(sqlite3.connect(workspace.runs_dir / "mlflow.db")) as connection:
        rows = connection.execute("SELECT name FROM runs WHERE lifecycle_stage = 'active'")
        return {name for (name,) in rows}


def test_runs_are_compared_with_mlflow_and_copied_again(tracked: Workspace, tiny_config) -> None:
    root = tracked.root
    assert [one["finding"] for one in records(root)] == ["2 runs, nothing to mend"]
    first, second = list_runs(tracked.runs_dir)
    train(tracked, tiny_config(seed=2))  # without MLflow
    (first.directory / "unsynced").write_text("a process was killed\n")
    with closing(sqlite3.connect(tracked.runs_dir / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE runs SET status = 'RUNNING' WHERE name = ?", (second.name,))
    found = records(root)
    reasons = {one["finding"].split()[0]: one["finding"] for one in found}
    assert len(found) == 3
    assert "has no verified copy" in reasons[first.name]
    assert "differs in MLflow: status is RUNNING" in reasons[second.name]
    assert sum("is missing in MLflow" in one["finding"] for one in found) == 1
    before = contents(tracked.runs_dir)
    mended = [one for one in records(root, "--fix") if one["subject"] == "mended"]
    assert len(mended) == 3
    assert subjects(records(root, "--fix")) == ["records"]
    assert len(names_in_mlflow(tracked)) == 3
    kept = contents(tracked.runs_dir)
    assert {k: v for k, v in before.items() if not k.endswith("unsynced")} == kept


def test_copies_without_a_directory_go_to_the_trash(tracked: Workspace) -> None:
    first, second = list_runs(tracked.runs_dir)
    shutil.move(first.directory, tracked.root / "elsewhere")
    (found,) = records(tracked.root)
    assert found["finding"] == f"{first.name} is no longer on disk"
    _, mended = records(tracked.root, "--fix")
    assert mended["finding"] == f"{first.name}: MLflow's copy moved to its trash"
    assert names_in_mlflow(tracked) == {second.name}
    assert subjects(records(tracked.root, "--fix")) == ["records"]
    # Nothing is lost: the directory brings it back.
    shutil.move(tracked.root / "elsewhere", first.directory)
    records(tracked.root, "--fix")
    assert names_in_mlflow(tracked) == {first.name, second.name}


def test_a_diagnosis_creates_no_database(workspace: Workspace, tiny_config) -> None:
    run = trained(workspace, tiny_config())
    (workspace.root / "lab.toml").write_text('device = "cpu"\n')
    (found,) = records(workspace.root)
    assert found["finding"] == f"{run.name} is missing in MLflow"
    assert not (workspace.runs_dir / "mlflow.db").exists()
    records(workspace.root, "--fix")
    assert subjects(records(workspace.root)) == ["records"]


def test_mlflow_that_cannot_be_reached_is_exit_code_3(
    workspace: Workspace, killed: RunRecord
) -> None:
    (workspace.root / "lab.toml").write_text(
        'device = "cpu"\ntracking_uri = "http://127.0.0.1:9"\n'
    )
    found = records(workspace.root, "--fix", code=3)
    assert "could not be compared" in next(o["finding"] for o in found if o["subject"] == "MLflow")
    assert read_status(killed.directory).state == "interrupted"
    assert subjects(records(workspace.root)) == ["MLflow"]


def test_a_damaged_run_is_named_and_left_alone(workspace: Workspace, tiny_config) -> None:
    run = trained(workspace, tiny_config())
    (run.directory / "labels.json").write_text("{")
    before = contents(workspace.runs_dir)
    found = records(workspace.root, "--fix")
    assert subjects(found) == ["damaged run"]
    assert "labels.json" in found[0]["finding"]
    assert found[0]["advice"] == "lab verify names every file"
    assert contents(workspace.runs_dir) == before
