import time
from pathlib import Path

from run_makers import MakeRun

from switchhead_lab.tracking.liveness import run_lock
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.run_summary import summarise_run
from switchhead_lab.views.run_list import run_table
from switchhead_lab.views.runs import describe_run


def cells(record: RunRecord) -> list[str]:
    return list(run_table(record.directory, [summarise_run(record)]).rows[0])


def cell(record: RunRecord, column: str) -> str:
    table = run_table(record.directory, [summarise_run(record)])
    return dict(zip(table.columns, table.rows[0], strict=True))[column]


def test_a_finished_run_has_its_figures(make_run: MakeRun) -> None:
    record = make_run()
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.status.started_at))
    assert cells(record) == [
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
    assert cells(record)[1:7] == ["failed", "3/6", "-", "-", "-", "-"]


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
    assert cell(record, "state") == "interrupted (process gone)"


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
