"""A sweep shared by several workers: runs in progress, vanished workers, unequal conditions."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import pytest
from finished_sweeps import finished
from test_sweep import STUDY, by_role, run
from tiny_sweep import DECLARATION

from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.data.dataset import open_dataset
from switchhead_lab.errors import DriftError, RecordError
from switchhead_lab.sweeping import worker
from switchhead_lab.sweeping.conditions import conditions_of
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.sweeping.heartbeat import Heartbeat
from switchhead_lab.sweeping.jobs import MOST_VANISHED
from switchhead_lab.sweeping.plan import declared_variants
from switchhead_lab.sweeping.requeue import requeue_failed
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepMember
from switchhead_lab.training.change_policy import ChangePolicy


def declare(**changes: object) -> Sweep:
    return parse(Sweep, merge_trees(DECLARATION, changes), "test")


@contextlib.contextmanager
def other_worker(
    workspace: Workspace, sweep: Sweep, facts: Mapping[str, object] = MappingProxyType({})
) -> Iterator[str]:
    """Have another live worker in the block, with these facts or the same; yield its id."""
    dataset = open_dataset(workspace.data_dir, sweep.data)
    conditions = conditions_of(workspace, sweep, declared_variants(sweep)[0], dataset)
    directory = SweepDir.of(workspace.runs_dir, sweep)
    with directory.workers.joined({**conditions, **facts}) as other:
        yield other.worker_id


def change_first_member(workspace: Workspace, sweep: Sweep, **update: object) -> SweepMember:
    """Change the first member in the record of a sweep."""
    directory = SweepDir.of(workspace.runs_dir, sweep)
    record = directory.read()
    first = record.members[0].model_copy(update=update)
    with directory.locked():
        directory.write(record.model_copy(update={"members": [first, *record.members[1:]]}))
    return first


def remove_result(workspace: Workspace, member: SweepMember) -> None:
    folder = workspace.runs_dir / member.run_name
    (folder / "result.json").unlink()
    status = (folder / "status.json").read_text()
    (folder / "status.json").write_text(status.replace('"finished"', '"running"'))


class Waits:
    """Replaces a worker's waits: acts when it has waited for the second time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act) -> None:
        self.number = 0

        def wait(_worker: object, _waiting: object) -> None:
            self.number += 1
            if self.number == 2:
                act()
            assert self.number < 100, "it waits for ever"

        monkeypatch.setattr(worker.SweepWorker, "_wait", wait)


def test_a_run_of_a_live_worker_is_left_to_it_until_it_vanishes(workspace, monkeypatch) -> None:
    sweep = declare()
    finished(workspace, sweep)
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(other_worker(workspace, sweep))
        first = change_first_member(workspace, sweep, state="running", worker=other)
        remove_result(workspace, first)
        waits = Waits(monkeypatch, stack.close)
        record = run_sweep(workspace, sweep, NoIndex(), said.append)
    assert waits.number == 2
    assert f"{first.run_name}: worker {other} vanished" in said
    assert {(m.state, m.worker, m.n_vanished) for m in record.members} == {("finished", "", 0)}


def test_a_run_whose_workers_keep_vanishing_fails(workspace) -> None:
    sweep = declare()
    finished(workspace, sweep)
    with other_worker(workspace, sweep):  # so that this is not the first worker
        gone = {"state": "running", "worker": "gone-1-ab", "n_vanished": MOST_VANISHED - 1}
        first = change_first_member(workspace, sweep, **gone)
        record = run(workspace, sweep)
    failed = record.members[0]
    assert (failed.state, failed.cause) == ("failed", "worker vanished")
    assert failed.reason == "3 workers vanished while training it"
    assert requeue_failed(SweepDir.of(workspace.runs_dir, sweep), "non-finite") == 0
    assert requeue_failed(SweepDir.of(workspace.runs_dir, sweep), "worker vanished") == 1
    with other_worker(workspace, sweep):
        record = run(workspace, sweep)
    assert (record.members[0].state, record.members[0].run_name) == ("finished", first.run_name)


def test_failed_runs_are_retried_by_the_first_worker_only(workspace) -> None:
    sweep = declare()
    finished(workspace, sweep)
    change_first_member(workspace, sweep, state="failed", cause="other", reason="broke")
    with other_worker(workspace, sweep):
        assert run(workspace, sweep).members[0].state == "failed"
    assert run(workspace, sweep).members[0].state == "finished"


def test_a_candidate_whose_workers_keep_vanishing_is_a_failed_trial(workspace) -> None:
    sweep = declare(studies=[STUDY])
    record = finished(workspace, sweep)
    assert len(by_role(record, "candidate")) == 3
    more = declare(studies=[{**STUDY, "n_trials": 4}])
    with other_worker(workspace, more):
        original = worker.SweepWorker._train

        def vanish(self, job, hooks) -> None:
            """Leave the run as a killed worker does, the last time that this is allowed."""
            if job.candidate is None:
                return original(self, job, hooks)
            gone = {"worker": "gone-1-ab", "n_vanished": MOST_VANISHED - 1}
            self._keeper.note(job.member.model_copy(update=gone))
            return None

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker.SweepWorker, "_train", vanish)
            after = run(workspace, more)
    candidates = by_role(after, "candidate")
    assert [m.state for m in candidates] == ["finished"] * 3 + ["failed"]
    assert candidates[-1].cause == "worker vanished"


def test_candidates_of_other_workers_count_in_the_number_of_one(workspace) -> None:
    sweep = declare(studies=[{**STUDY, "n_parallel": 2}])
    numbers = []
    with other_worker(workspace, sweep) as other:
        original = worker.SweepWorker._train

        def leave_to_other(self, job, hooks) -> None:
            if job.candidate is None:
                return original(self, job, hooks)
            numbers.append(job.candidate.number)
            if len(numbers) == 2:
                raise KeyboardInterrupt
            self._keeper.note(job.member.model_copy(update={"worker": other}))
            return None

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker.SweepWorker, "_train", leave_to_other)
            with pytest.raises(KeyboardInterrupt):
                run(workspace, sweep)
    assert numbers == [1, 2]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"versions": {"torch": "1.0"}}, r"torch: 1\.0 before, "),
        ({"device": {"n_threads": 96}}, "threads: 96 before, "),
        ({"data": {"corpus": "others"}}, "data: corpus: others there, "),
        ({"sweep": {"training": {"n_steps": 9}}}, r"declaration: training\.n_steps: 9 there, 4 h"),
        ({"code": {"hash": "1", "own": [], "files": {"a.py": "1"}}}, "code: .*changed"),
    ],
)
def test_a_worker_with_other_conditions_is_rejected(workspace, facts, expected) -> None:
    sweep = declare()
    finished(workspace, sweep)
    with other_worker(workspace, sweep, facts) as other:
        with pytest.raises(DriftError, match=expected) as error:
            run(workspace, sweep)
        assert other in str(error.value)
        assert "--allow-drift" in str(error.value)
        policy = ChangePolicy(allows_drift=True)
        record = run_sweep(workspace, sweep, NoIndex(), lambda text: None, policy=policy)
    assert {member.state for member in record.members} == {"finished"}


def test_a_worker_stops_when_another_changes_the_declaration(workspace, monkeypatch) -> None:
    sweep = declare()
    finished(workspace, sweep)
    more = declare(baseline={"seeds": [0, 1, 2]})

    def change() -> None:
        directory = SweepDir.of(workspace.runs_dir, sweep)
        with directory.locked():
            directory.write(directory.read().model_copy(update={"sweep": more}))

    with contextlib.ExitStack() as stack:
        other = stack.enter_context(other_worker(workspace, sweep))
        change_first_member(workspace, sweep, state="running", worker=other)
        Waits(monkeypatch, change)
        with pytest.raises(RecordError, match="its declaration was changed while this worker ran"):
            run(workspace, sweep)


def test_a_worker_held_for_dead_records_nothing_more(workspace, monkeypatch) -> None:
    """Its run may be another worker's by now."""
    sweep = declare()

    def observe(self: Heartbeat, point: object) -> None:
        self.is_lost = True
        original(self, point)

    original = Heartbeat.observe
    monkeypatch.setattr(Heartbeat, "observe", observe)
    take_over_at_the_end(monkeypatch, workspace, sweep)
    with pytest.raises(RecordError, match="stopped for too long, so .* may have been taken over"):
        run(workspace, sweep)
    member = SweepDir.of(workspace.runs_dir, sweep).read().members[0]
    assert (member.state, member.worker) == ("running", "other-1-ab")


def take_over_at_the_end(monkeypatch, workspace: Workspace, sweep: Sweep) -> None:
    """Give a worker's run to another one before it records the end."""
    original = worker.SweepWorker._note_end

    def note_end(self, member, state, reason) -> None:
        change_first_member(workspace, sweep, worker="other-1-ab")
        original(self, member, state, reason)

    monkeypatch.setattr(worker.SweepWorker, "_note_end", note_end)


def states(members: Sequence[SweepMember]) -> list[str]:
    return [member.state for member in members]


def test_the_record_names_the_worker_only_while_it_trains(workspace, monkeypatch) -> None:
    sweep = declare()
    seen: list[tuple[str, bool]] = []
    original = worker.execute_run

    def execute(*arguments, **options):
        member = SweepDir.of(workspace.runs_dir, sweep).read().members[-1]
        seen.append((member.state, f"-{os.getpid()}-" in member.worker))
        return original(*arguments, **options)

    monkeypatch.setattr(worker, "execute_run", execute)
    record = run(workspace, sweep)
    assert seen == [("running", True)] * 3
    assert "worker" not in record.model_dump_json()
    assert states(record.members) == ["finished"] * 3
