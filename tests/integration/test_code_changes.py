"""Finished runs whose code has changed are reused or retrained only as asked."""

import shutil

import pytest
from command_line import lab
from finished_sweeps import finished, swept
from test_sweep import declare
from test_sweep import run as run_quietly
from tiny_sweep import SWEEP

from switchhead_lab.config.files import to_toml
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.errors import CodeChangedError, ConfigError, RunBusyError
from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.tracking.liveness import run_lock
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import list_runs, read_run
from switchhead_lab.training.change_policy import ChangePolicy

SWITCHHEAD = "switchhead_lab/model/attention/switchhead.py"
SHARED = "switchhead_lab/training/loop.py"
CHANGED, REUSE = ChangePolicy(retrain=("changed",)), ChangePolicy(reuses=True)


def run(workspace, sweep, policy: ChangePolicy):
    return run_sweep(workspace, sweep, NoIndex(), lambda _text: None, policy=policy)


def attempts(workspace) -> dict[str, float]:
    return {run.name: run.status.started_at for run in list_runs(workspace.runs_dir)}


def superseded(workspace) -> list[str]:
    folder = workspace.runs_dir / "superseded"
    return sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []


def test_unchanged_code_is_reused(workspace, edit) -> None:
    sweep = declare(study={"n_trials": 1})
    finished(workspace, sweep)
    before = attempts(workspace)
    edit("switchhead_lab/reporting/report.py")
    edit(SWITCHHEAD, '"""', '"""Now. ')
    run_quietly(workspace, sweep)
    assert attempts(workspace) == before


def test_changed_code_stops_a_sweep_before_it_trains(workspace, edit) -> None:
    sweep = declare(study={"n_trials": 1})
    record = finished(workspace, sweep)
    before = attempts(workspace)
    edit(SHARED)
    more = sweep.model_copy(
        update={"baseline": sweep.baseline.model_copy(update={"seeds": [0, 1, 2]})}
    )
    with pytest.raises(CodeChangedError) as rejected:
        run_quietly(workspace, more)
    message = str(rejected.value)
    for model in {member.model for member in record.members}:
        assert f"  {model}: " in message
    assert f"{SHARED} changed" in message
    assert "--retrain changed" in message
    assert "--reuse" in message
    assert attempts(workspace) == before
    assert superseded(workspace) == []


def test_lists_of_sweeps_name_runs_of_other_code(workspace, edit) -> None:
    (workspace.sweeps_dir / "tiny.toml").write_text(SWEEP, encoding="utf-8")
    finished(workspace, find_sweep(workspace.sweeps_dir, "tiny").resolve())
    assert "other code" not in lab("sweep", "show", "tiny", cwd=workspace.root).stdout
    assert "other code" not in lab("sweep", "list", cwd=workspace.root).stdout
    edit(SHARED)
    shown = " ".join(lab("sweep", "show", "tiny", cwd=workspace.root).stdout.split())
    assert "4 done runs are of other code: `lab sweep tiny --size small` stops until you" in shown
    assert "--retrain changed or --reuse" in shown
    listed = " ".join(lab("sweep", "list", cwd=workspace.root).stdout.split())
    assert "--retrain changed or --reuse: tiny --size small (4 of 4)" in listed


def test_changed_runs_are_retrained_and_the_earlier_ones_kept(workspace, edit) -> None:
    sweep = declare(study={"n_trials": 2})
    first = finished(workspace, sweep)
    before = attempts(workspace)
    edit(SWITCHHEAD)
    second = run(workspace, sweep, CHANGED)
    after = attempts(workspace)
    searched = {m.run_name for m in first.members if m.role in ("candidate", "best")}
    assert searched
    for name, started_at in before.items():
        assert (after[name] > started_at) == (name in searched)
    assert superseded(workspace) == sorted(f"{name}-1" for name in searched)
    for name in superseded(workspace):
        assert read_run(workspace.runs_dir / "superseded" / name).result is not None
    # The study started over: none of its trials has a value from different code.
    assert second.studies["switchhead"].generation == 2
    assert [m.trial_number for m in second.members if m.role == "candidate"] == [0, 1]
    report = write_report(Selection(second, ()), workspace.runs_dir, workspace.reports_dir)
    assert not report.incomplete
    # Now all is of the present code.
    run_quietly(workspace, sweep)
    assert attempts(workspace) == after


def test_reused_runs_stay_and_reports_say_so(workspace, edit) -> None:
    sweep = declare(study={"n_trials": 1})
    finished(workspace, sweep)
    before = attempts(workspace)
    edit(SWITCHHEAD)
    record = run(workspace, sweep, REUSE)
    assert attempts(workspace) == before
    report = write_report(Selection(record, ()), workspace.runs_dir, workspace.reports_dir)
    text = (report.folder / "report.md").read_text()
    assert "WARNING: the code of switchhead has changed since its runs" in text


def test_one_model_or_all_are_retrained_even_if_unchanged(workspace) -> None:
    sweep = declare(study={"n_trials": 1})
    finished(workspace, sweep)
    before = attempts(workspace)
    run(workspace, sweep, ChangePolicy(retrain=("two-heads",)))
    renewed = {name for name, at in attempts(workspace).items() if at > before[name]}
    assert {read_run(workspace.runs_dir / name).labels.variant for name in renewed} == {"two-heads"}
    run(workspace, sweep, ChangePolicy(retrain=("all",)))
    assert all(at > before[name] for name, at in attempts(workspace).items())
    assert len(superseded(workspace)) == len(before) + len(renewed)


def test_models_to_retrain_must_exist(workspace) -> None:
    with pytest.raises(ConfigError, match="--retrain two-head: no model of sweep tiny .did you"):
        run(workspace, declare(), ChangePolicy(retrain=("two-head",)))


def test_interrupted_runs_whose_code_changed_start_over(workspace, edit, monkeypatch) -> None:
    sweep = declare(models=[], study=None)
    finished(workspace, sweep)
    (one, *_) = list_runs(workspace.runs_dir)
    (one.directory / "result.json").unlink()
    edit(SHARED)
    record = run(workspace, sweep, CHANGED)
    assert {m.state for m in record.members} == {"finished"}
    assert f"{one.name}-1" in superseded(workspace)
    assert read_run(one.directory).status.attempt == 1


def test_a_run_that_another_process_trains_is_not_set_aside(workspace) -> None:
    sweep = declare(models=[], study=None)
    finished(workspace, sweep)
    one = list_runs(workspace.runs_dir)[0]
    with run_lock(workspace.runs_dir, one.run_hash), pytest.raises(RunBusyError):
        run(workspace, sweep, ChangePolicy(retrain=("all",)))


def test_a_study_whose_declaration_changed_back_starts_over(workspace) -> None:
    first = finished(workspace, declare(study={"n_trials": 1}))
    other = run_quietly(workspace, declare(study={"n_trials": 1, "sampler_seed": 7}))
    again = run_quietly(workspace, declare(study={"n_trials": 1}))
    names = [r.studies["switchhead"].storage_name for r in (first, other, again)]
    assert len(set(names)) == 3
    assert [m.run_hash for m in again.members] == [m.run_hash for m in first.members]


def test_from_the_command_line(workspace, edit) -> None:
    """A changed kernel never shows yesterday's figure without a word."""
    (workspace.sweeps_dir / "tiny.toml").write_text(SWEEP)
    swept(workspace.root, "tiny")
    edit("kernels/expert_matmul/reference.py")
    done = lab("sweep", "tiny", cwd=workspace.root, code=2)
    assert "switchhead: " in done.stderr
    assert "kernels/expert_matmul/reference.py changed" in done.stderr
    done = lab("report", "tiny", cwd=workspace.root)
    assert "kernels/expert_matmul/reference.py" in done.stdout
    done = lab("sweep", "tiny", "--retrain", "changed", cwd=workspace.root)
    assert "retraining; the earlier run is kept as" in done.stderr
    done = lab("report", "tiny", cwd=workspace.root)
    assert "kernels/expert_matmul/reference.py" not in done.stdout


def test_lab_train_asks_too(workspace, tiny_config, edit) -> None:
    path = workspace.root / "one.toml"
    path.write_text(to_toml(tiny_config("switchhead")))
    lab("train", path, cwd=workspace.root)
    edit(SWITCHHEAD)
    done = lab("train", path, cwd=workspace.root, code=2)
    assert f"its code has changed since ({SWITCHHEAD} changed)" in done.stderr
    lab("train", path, "--reuse", cwd=workspace.root)
    (run,) = list_runs(workspace.runs_dir)
    done = lab("runs", "show", run.name, cwd=workspace.root)
    assert f"{SWITCHHEAD} changed since" in done.stdout
    lab("train", path, "--retrain", cwd=workspace.root)
    assert superseded(workspace) == [f"{run.name}-1"]
    lab("train", path, cwd=workspace.root)
    shutil.rmtree(workspace.runs_dir / "superseded")
    assert len(list_runs(workspace.runs_dir)) == 1


def test_an_interrupted_run_continues_under_other_code_only_if_allowed(
    workspace, tiny_config, edit
) -> None:
    path = workspace.root / "one.toml"
    path.write_text(to_toml(tiny_config()))
    lab("train", path, cwd=workspace.root)
    (run,) = list_runs(workspace.runs_dir)
    (run.directory / "result.json").unlink()
    edit(SHARED)
    done = lab("train", path, cwd=workspace.root, code=2)
    assert f"code: {SHARED} changed" in done.stderr
    assert "pass --allow-drift" in done.stderr
    lab("train", path, "--allow-drift", cwd=workspace.root)
    again = read_run(run.directory)
    assert (again.status.state, again.status.attempt) == ("finished", 2)
    assert again.provenance["drift"] == [f"code: {SHARED} changed"]
