"""A sweep continues after failures of single runs, and stops with one line on others."""

import pytest
from finished_sweeps import finished
from test_sweep import Trained, by_role, declare, run

from switchhead_lab.config.identity import identity
from switchhead_lab.errors import (
    ConfigError,
    DataError,
    DriftError,
    StorageError,
    TrainingError,
    WorkspaceError,
)
from switchhead_lab.sweeping import executor, worker
from switchhead_lab.sweeping.plan import declared_variants, run_config
from switchhead_lab.tracking.liveness import run_lock
from switchhead_lab.tracking.sweep_dir import SweepDir


class Failing:
    """Makes trainings fail, by number, each with a given error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, errors: dict[int, BaseException]) -> None:
        self.n_calls = 0
        original = worker.execute_run

        def execute(*arguments, **options):
            self.n_calls += 1
            if self.n_calls in errors:
                raise errors[self.n_calls]
            return original(*arguments, **options)

        monkeypatch.setattr(worker, "execute_run", execute)


def states(record) -> list[tuple[str, str]]:
    return [(member.state, member.cause) for member in record.members]


def test_out_of_memory_is_retried_twice(workspace, monkeypatch) -> None:
    error = TrainingError("no memory", "out of memory")
    failing = Failing(monkeypatch, {1: error, 2: error})
    record = run(workspace, declare(models=[], study={"n_trials": 1}))
    assert states(record)[0] == ("finished", "")
    assert failing.n_calls == 2 + len(record.members)


def test_out_of_memory_three_times_is_a_failure(workspace, monkeypatch) -> None:
    error = TrainingError("no memory", "out of memory")
    Failing(monkeypatch, {1: error, 2: error, 3: error})
    record = run(workspace, declare(models=[], study={"n_trials": 1}))
    assert states(record)[0] == ("failed", "out of memory")
    assert {state for state, _ in states(record)[1:]} == {"finished"}


def test_a_non_finite_candidate_counts_and_is_not_retried(workspace, monkeypatch) -> None:
    Failing(monkeypatch, {4: TrainingError("loss is nan", "non-finite")})
    record = run(workspace, declare())
    (failed,) = [member for member in record.members if member.state == "failed"]
    assert (failed.role, failed.cause) == ("candidate", "non-finite")
    assert len(by_role(record, "candidate")) == 3
    again = run(workspace, declare())
    assert [m.state for m in by_role(again, "candidate")].count("failed") == 1


# Numbers of trainings: the first is the baseline, the fourth a candidate of the search.
@pytest.mark.parametrize(
    ("number", "error"),
    [
        pytest.param(1, StorageError("optuna.db is locked"), id="storage"),
        pytest.param(4, DataError("changed"), id="data"),
        pytest.param(1, ConfigError("no such device"), id="config", marks=pytest.mark.thorough),
        pytest.param(
            4, WorkspaceError("runs: not writable"), id="workspace", marks=pytest.mark.thorough
        ),
        pytest.param(
            4, DriftError("threads: 2 before, 1 now"), id="drift", marks=pytest.mark.thorough
        ),
    ],
)
def test_errors_common_to_all_runs_stop_the_sweep_which_continues_later(
    workspace, monkeypatch, number: int, error: Exception
) -> None:
    whole = finished(workspace, declare())
    workspace.runs_dir.rename(workspace.root / "elsewhere")
    with monkeypatch.context() as patch:
        Failing(patch, {number: error})
        with pytest.raises(type(error)):
            run(workspace, declare())
    record = SweepDir.of(workspace.runs_dir, declare()).read()
    assert (record.members[-1].state, record.members[-1].reason) == ("interrupted", str(error))
    assert states(run(workspace, declare())) == states(whole)


def test_a_bug_leaves_no_run_marked_as_running(workspace, monkeypatch) -> None:
    Failing(monkeypatch, {2: ZeroDivisionError("a bug")})
    with pytest.raises(ZeroDivisionError):
        run(workspace, declare())
    record = SweepDir.of(workspace.runs_dir, declare()).read()
    assert [member.state for member in record.members] == ["finished", "failed"]
    assert record.members[1].reason == "ZeroDivisionError: a bug"


def test_a_damaged_run_does_not_fail_others(workspace) -> None:
    first = finished(workspace, declare())
    damaged = workspace.runs_dir / first.members[0].run_name / "result.json"
    damaged.write_text("{")
    record = run(workspace, declare())
    assert states(record)[0] == ("failed", "other")
    assert "result.json" in record.members[0].reason
    assert {state for state, _ in states(record)[1:]} == {"finished"}
    assert damaged.read_text() == "{"


def test_a_sweep_waits_for_a_run_that_another_process_trains(workspace, monkeypatch) -> None:
    monkeypatch.setattr(worker, "_POLL_SECONDS", 0.05)
    sweep = declare(models=[], study={"n_trials": 1})
    baseline = declared_variants(sweep)[0]
    lock = run_lock(workspace.runs_dir, identity(run_config(sweep, baseline.model, 0)))
    workspace.runs_dir.mkdir(parents=True)
    lock.acquire()
    trained = Trained(monkeypatch)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if "waiting" in text:
            lock.release()

    record = executor.run_sweep(workspace, sweep, executor_index(), say)
    # The other seed was trained first.
    assert [member.seed for member in by_role(record, "baseline")] == [1, 0]
    assert {member.state for member in record.members} == {"finished"}
    assert any("waiting: " in text and "is training this configuration" in text for text in said)
    assert trained.names[0] == "dense"


def executor_index():
    from switchhead_lab.tracking.mlflow_index import NoIndex

    return NoIndex()
