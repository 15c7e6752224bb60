from pathlib import Path

from run_makers import MakeRun

from switchhead_lab.tracking.file_names import UNSYNCED_FILE
from switchhead_lab.tracking.liveness import run_lock
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.run_summary import summarise_run
from switchhead_lab.tracking.unsynced import (
    clear_mark,
    is_unsynced,
    mark_unsynced,
    read_mark,
    unsynced_notice,
)
from switchhead_lab.views.run_list import run_table


def state_cell(record: RunRecord) -> str:
    return run_table(record.directory, [summarise_run(record)]).rows[0][1]


def test_marked_runs_are_counted(runs_dir: Path, make_run: MakeRun) -> None:
    runs = [make_run(), make_run("failed", seed=1), make_run(seed=2)]
    assert unsynced_notice(runs_dir) is None
    mark_unsynced(runs[0].directory, "down")
    assert unsynced_notice(runs_dir) == "1 run is not in MLflow yet: lab runs sync"
    mark_unsynced(runs[1].directory, "down")
    assert unsynced_notice(runs_dir) == "2 runs are not in MLflow yet: lab runs sync"
    assert [state_cell(run) for run in runs] == [
        "finished (unsynced)",
        "failed (unsynced)",
        "finished",
    ]


def test_a_run_in_progress_is_counted_only_once_its_owner_is_gone(
    runs_dir: Path, make_run: MakeRun
) -> None:
    record = make_run("running")
    mark_unsynced(record.directory, "in progress")
    with run_lock(runs_dir, record.run_hash):
        assert unsynced_notice(runs_dir) is None
        assert state_cell(record) == "running"
    assert unsynced_notice(runs_dir) == "1 run is not in MLflow yet: lab runs sync"
    assert state_cell(record) == "interrupted (process gone, unsynced)"


def test_damaged_runs_do_not_break_the_notice(runs_dir: Path, make_run: MakeRun) -> None:
    record = make_run()
    mark_unsynced(record.directory, "down")
    (record.directory / "config.toml").write_text("{", encoding="utf-8")
    assert unsynced_notice(runs_dir) is None
    assert unsynced_notice(runs_dir / "nowhere") is None


def test_a_mark_that_changed_since_it_was_read_is_kept(tmp_path: Path) -> None:
    clear_mark(tmp_path, read_mark(tmp_path))
    mark_unsynced(tmp_path, "first")
    seen = read_mark(tmp_path)
    mark_unsynced(tmp_path, "second")
    clear_mark(tmp_path, seen)
    assert (tmp_path / UNSYNCED_FILE).read_text(encoding="utf-8") == "second\n"
    clear_mark(tmp_path, "second\n")
    assert not is_unsynced(tmp_path)
    mark_unsynced(tmp_path / "missing", "no error")
