"""The conductor: a failing case loses neither other cases nor earlier findings."""

import faulthandler
import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from switchhead_lab.benchmark.gpu import conductor as module
from switchhead_lab.benchmark.gpu import worker, workers
from switchhead_lab.benchmark.gpu.case import Case, Context, WrongResultError
from switchhead_lab.benchmark.gpu.conductor import Conductor
from switchhead_lab.benchmark.gpu.journal import Event, Journal
from switchhead_lab.benchmark.gpu.plan import EXIT_NO_DEVICE, Part
from switchhead_lab.benchmark.gpu.workers import Work
from switchhead_lab.errors import ConfigError
from switchhead_lab.training.compute_setup import ComputeSetup

PART = Part("part", "a part", seconds=60.0, case_seconds=60.0)


def fine():
    yield {"x": 1}


def wrong():
    yield {"error": 0.5}
    raise WrongResultError("tolerance 1e-3; error 5e-1")


def failing():
    yield {"first": 1}
    raise RuntimeError("CUDA error: out of luck\nsecond line")


def dying():
    yield {"first": 1}
    os.kill(os.getpid(), signal.SIGSEGV)
    yield {"second": 2}


def hanging():
    yield {"first": 1}
    time.sleep(600)
    yield {"second": 2}


def losing():
    worker._device_answers = lambda _device: False
    yield {"x": 1}


def work(journal_path: Path, names: str, part: Part, share: int) -> int:
    """Be a worker with the named cases."""
    faulthandler.disable()
    context = Context(ComputeSetup(torch.device("cpu"), "fp32", {}), True)
    cases = [Case(name, globals()[name.split()[0]]) for name in names.split(",")]
    return worker.run_cases(part, cases, context, Journal(journal_path), share)


def unused(_part: Part, _share: int) -> int:
    raise AssertionError("no worker is started")


def end_with(error: BaseException, _part: Part, _share: int) -> int:
    raise error


@pytest.fixture
def conduct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a part with the named cases; return its last events by case."""
    monkeypatch.setattr(workers, "_TRACEBACK_SECONDS", 0.0)
    monkeypatch.setattr(module, "_FEWEST_SECONDS", 0.0)
    journal = Journal(tmp_path / "journal.jsonl")

    def run(
        names: str, part: Part = PART, run_cases: Work | None = None, seconds: float = 120.0
    ) -> dict[str, Event]:
        deadline = time.monotonic() + module.RESERVED_SECONDS + seconds
        run_cases = run_cases or partial(work, journal.path, names)
        conductor = Conductor(journal, tmp_path / "log.txt", run_cases, False, deadline)
        conductor.run([part], lambda: None)
        return journal.latest("part")

    return run


@pytest.mark.thorough
def test_failures_are_classified_and_other_cases_still_run(conduct) -> None:
    events = conduct("wrong,failing,dying,losing,fine")
    assert {name: event.status for name, event in events.items()} == {
        "wrong": "wrong",
        "failing": "failed",
        "dying": "crashed",
        "losing": "done",
        "fine": "done",
    }
    assert events["wrong"].reason == "tolerance 1e-3; error 5e-1"
    assert events["failing"].reason == "RuntimeError: CUDA error: out of luck"
    assert events["dying"].reason == "SIGSEGV"
    assert events["dying"].findings == {"first": 1}
    assert events["fine"].findings == {"x": 1}


@pytest.mark.thorough
def test_a_hanging_case_is_killed(conduct) -> None:
    part = Part("part", "a part", seconds=100.0, case_seconds=1.0)
    events = conduct("hanging,fine", part)
    assert events["hanging"].status == "timeout"
    assert events["hanging"].reason == "more than 1 s in one case"
    assert events["hanging"].findings == {"first": 1}
    assert events["fine"].status == "done"


@pytest.mark.thorough
def test_when_the_parts_time_is_up_no_case_is_blamed(conduct) -> None:
    part = Part("part", "a part", seconds=20.0, case_seconds=100.0)
    events = conduct("fine,hanging,wrong", part, seconds=20.0)
    assert events["fine"].status == "done"
    assert (events["hanging"].status, events["hanging"].findings) == ("skipped", {"first": 1})
    assert events["wrong"].status == "planned"
    assert events[""].reason == "the part's time is up"


@pytest.mark.thorough
def test_workers_share_the_cases_and_lose_none_when_one_dies(conduct) -> None:
    part = Part("part", "a part", seconds=60.0, case_seconds=60.0, n_workers=2)
    events = conduct("fine 1,dying,fine 2,fine 3,fine 4,wrong", part)
    assert {name: (event.share, event.status) for name, event in events.items()} == {
        **{"fine 1": (0, "done"), "fine 2": (0, "done"), "fine 4": (0, "done")},
        **{"dying": (1, "crashed"), "fine 3": (1, "done"), "wrong": (1, "wrong")},
    }


def test_a_worker_that_cannot_start_fails_its_part_once(conduct) -> None:
    events = conduct("fine", run_cases=partial(end_with, ImportError("nothing here")))
    assert {name: event.status for name, event in events.items()} == {"": "failed"}
    assert events[""].reason == "worker ended with exit code 1"


def test_a_missing_device_is_not_retried(conduct) -> None:
    with pytest.raises(ConfigError, match="no CUDA device"):
        conduct("fine", run_cases=partial(end_with, SystemExit(EXIT_NO_DEVICE)))


def test_unused_time_goes_to_later_parts(tmp_path: Path, monkeypatch) -> None:
    """Of 100 s, the first of two equal parts gets 50 and the second the rest."""
    now = [0.0]
    given: dict[str, float] = {}

    def run_part(_self: Conductor, part: Part, until: float) -> None:
        given[part.name] = until - now[0]
        now[0] += 10.0

    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Conductor, "_run_part", run_part)
    parts = [Part(name, name, 30.0, 30.0) for name in ("first", "second")]
    deadline = 100.0 + module.RESERVED_SECONDS
    journal = Journal(tmp_path / "journal.jsonl")
    Conductor(journal, tmp_path / "log.txt", unused, False, deadline).run(parts, lambda: None)
    assert given == {"first": 50.0, "second": 90.0}


def test_parts_without_time_are_skipped(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    Conductor(journal, tmp_path / "log.txt", unused, False, time.monotonic()).run(
        [PART], lambda: None
    )
    assert journal.latest("part")[""].reason == "no time left"


def test_a_truncated_line_loses_no_other_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(Event("part", "first", "done", findings={"x": 1}))
    with journal.path.open("a") as file:
        file.write('{"part": "part", "case": "sec')
    assert list(journal.latest("part")) == ["first"]
    Journal(journal.path).add(Event("part", "second", "crashed"))
    journal.add(Event("other", "third", "done"))
    for reader in (journal, Journal(journal.path)):
        assert list(reader.latest("part")) == ["first", "second"]
        assert list(reader.latest("other")) == ["third"]


def test_each_line_of_the_journal_is_parsed_once(tmp_path: Path, monkeypatch) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    parsed = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda line: parsed.append(line) or loads(line))
    for number in range(3):
        journal.add(Event("part", "case", "partial", findings={"n": number}))
        for _ in range(2):
            assert journal.latest("part")["case"].findings == {"n": number}
    assert len(parsed) == 3
