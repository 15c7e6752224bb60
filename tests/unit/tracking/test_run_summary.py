import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.liveness import run_lock
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.run_summary import (
    RunSummary,
    describe_run,
    run_as_data,
    select_runs,
    summarise_run,
)

MakeRun = Callable[..., RunRecord]


def cell(record: RunRecord, column: str) -> str:
    return dict(zip(RunSummary.COLUMNS, summarise_run(record).cells(), strict=True))[column]


def test_a_finished_run_has_its_figures(make_run: MakeRun) -> None:
    record = make_run()
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.status.started_at))
    assert summarise_run(record).cells() == [
        record.name,
        "finished",
        "6/6",
        "ppl 2.50",
        "ppl 3.00",
        "12,345",
        "3.2",
        started,
    ]


def test_a_run_without_result_has_none(make_run: MakeRun) -> None:
    record = make_run("failed")
    assert summarise_run(record).cells()[1:7] == ["failed", "3/6", "-", "-", "-", "-"]


def test_steps_of_a_running_run_come_from_its_points(make_run: MakeRun) -> None:
    record = make_run("running")
    assert cell(record, "step") == "3/6"
    with (record.directory / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write("damaged\n")
    assert cell(record, "step") == "3/6"


def test_a_running_run_whose_process_is_gone_says_so(runs_dir: Path, make_run: MakeRun) -> None:
    record = make_run("running")
    with run_lock(runs_dir, record.run_hash):
        assert cell(record, "state") == "running"
        assert select_runs([record], runs_dir, state="running") == [record]
    assert cell(record, "state") == "interrupted (process gone)"
    assert select_runs([record], runs_dir, state="interrupted") == [record]
    assert select_runs([record], runs_dir, state="running") == []


def test_runs_are_chosen_by_sweep_and_state(runs_dir: Path, make_run: MakeRun) -> None:
    first, second = make_run(sweep="nightly"), make_run("failed", seed=1)
    both = [first, second]
    assert select_runs(both, runs_dir) == both
    assert select_runs(both, runs_dir, sweep="nightly") == [first]
    assert select_runs(both, runs_dir, sweep="nightly", state="failed") == []
    with pytest.raises(RecordError, match='did you mean "nightly"'):
        select_runs(both, runs_dir, sweep="nihgtly")
    with pytest.raises(RecordError, match='did you mean "failed"'):
        select_runs(both, runs_dir, state="fialed")


def test_a_description_has_every_part(make_run: MakeRun) -> None:
    record = make_run("failed")
    text = describe_run(record)
    for expected in (
        record.name,
        record.run_hash,
        "d_model = 16",
        "because",
        "c0ffee (main), with uncommitted changes",
        "none yet",
        str(record.directory / "metrics.jsonl"),
    ):
        assert expected in text


def test_data_of_a_run_are_json(make_run: MakeRun) -> None:
    record = make_run()
    data = json.loads(json.dumps(run_as_data(record)))
    assert data["result"]["test_perplexity"] == 3.0
    assert data["config"]["model"]["d_model"] == 16
    assert data["mlflow"] is None
    assert data["paths"]["directory"] == str(record.directory)
