from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from run_makers import MakeRun, OpenRun, WriteSweep

from switchhead_lab.tracking.mlflow_copy import (
    MlflowCopy,
    copy_of_run,
    copy_of_sweep,
    differences,
    is_orphan,
    needs_rebuild,
    user_tags,
)
from switchhead_lab.tracking.mlflow_fields import MetricRow
from switchhead_lab.tracking.sweep_record import sweep_id

DISK = MlflowCopy(
    status="FINISHED",
    start_ms=1,
    end_ms=2,
    params={"a": "1", "b": "2"},
    tags={"lab.x": "1", "mlflow.runName": "run"},
    rows=Counter([MetricRow("loss", 1.0, 10, 1), MetricRow("loss", 0.5, 20, 2)]),
    file_hashes={"config.toml": "h"},
)
EXTRA_ROW = Counter([MetricRow("loss", 0.5, 21, 2)])


@pytest.mark.parametrize(
    ("change", "words", "is_rebuilt"),
    [
        ({"status": "RUNNING"}, "status is RUNNING, on disk FINISHED", False),
        ({"start_ms": 5}, "start_ms is 5, on disk 1", True),
        ({"end_ms": None}, "end_ms is None, on disk 2", False),
        ({"params": {"a": "1"}}, "parameter b is missing", False),
        ({"params": {"a": "1", "b": "3"}}, "parameter b differs", True),
        ({"params": {**DISK.params, "c": "3"}}, "parameter c is extra", True),
        ({"tags": {"mlflow.runName": "run"}}, "tag lab.x is missing", False),
        ({"tags": {**DISK.tags, "lab.x": "2"}}, "tag lab.x differs", False),
        ({"tags": {**DISK.tags, "lab.y": "2"}}, "tag lab.y is extra", False),
        ({"rows": Counter([*DISK.rows][:1])}, "metric loss at step 2 is missing", False),
        ({"rows": DISK.rows + EXTRA_ROW}, "metric loss at step 2 is extra", True),
        ({"file_hashes": {}}, "artifact config.toml is missing", False),
        ({"file_hashes": {"config.toml": "other"}}, "artifact config.toml differs", False),
        ({"file_hashes": {"config.toml": "h", "r": "h"}}, "artifact r is extra", True),
        ({"is_misplaced": True}, "its artifacts are in another folder", True),
    ],
)
def test_every_difference_is_described(change: dict, words: str, is_rebuilt: bool) -> None:
    found = replace(DISK, **change)
    assert differences(DISK, found) == [words]
    assert needs_rebuild(DISK, found) == is_rebuilt


def test_an_exact_copy_may_have_user_tags() -> None:
    tags = {**DISK.tags, "mlflow.note.content": "mine", "mlflow.user": "me", "team": "a"}
    assert differences(DISK, replace(DISK, tags=tags)) == []
    assert user_tags(tags) == {"mlflow.note.content": "mine", "team": "a"}


def test_the_copy_of_a_run_has_its_times(make_run: MakeRun) -> None:
    record = make_run()
    copy = copy_of_run(record, "parent", "finished")
    assert copy.start_ms == round(record.status.started_at * 1000)
    assert copy.end_ms == round((record.status.ended_at or 0) * 1000)
    assert copy.rows[MetricRow("train/loss_nats", 1.5, 1_700_000_002_250, 2)] == 1
    assert set(copy.file_hashes) >= {"config.toml", "metrics.jsonl", "result.json"}
    assert copy.tags["mlflow.parentRunId"] == "parent"
    killed = make_run("running", seed=1)
    assert copy_of_run(killed, None, "running").end_ms is None
    # A killed run ends at its last point.
    assert copy_of_run(killed, None, "interrupted").end_ms == 1_700_000_003_250


def test_a_resumed_run_starts_with_its_first_attempt(make_run: MakeRun, open_run: OpenRun) -> None:
    first = make_run("interrupted")
    open_run()
    again = copy_of_run(
        replace(first, status=first.status.model_copy(update={"started_at": 9e9})), None, "failed"
    )
    assert again.start_ms == round(first.status.started_at * 1000)


def test_the_copy_of_a_sweep_has_its_times(make_run: MakeRun, write_sweep: WriteSweep) -> None:
    record = write_sweep("sweep", [make_run()], 3.5)
    copy = copy_of_sweep(record, "finished")
    assert (copy.start_ms, copy.end_ms, copy.status) == (3500, 3500, "FINISHED")
    assert copy.name == copy.tags["lab.sweep_id"] == sweep_id(record.sweep)


@pytest.mark.parametrize(
    ("tags", "is_blank", "expected"),
    [
        ({"lab.run_hash": "1", "lab.run_name": "here"}, False, False),
        ({"lab.run_hash": "1", "lab.run_name": "gone"}, False, True),
        ({"lab.sweep_id": "sweep"}, False, False),
        ({"lab.sweep_id": "gone"}, True, True),
        ({"mlflow.runName": "here"}, True, True),
        ({"mlflow.runName": "sweep"}, True, True),
        ({"mlflow.runName": "here"}, False, False),
        ({"mlflow.runName": "a user's"}, True, False),
    ],
)
def test_orphans_are_recognised(
    tmp_path: Path, tags: dict[str, str], is_blank: bool, expected: bool
) -> None:
    for folder in ("here", "sweeps/sweep"):
        (tmp_path / folder).mkdir(parents=True)
    assert is_orphan(tags, is_blank, tmp_path) == expected
