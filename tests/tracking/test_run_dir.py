import os
from collections.abc import Callable
from pathlib import Path

import pytest
from disk_faults import fail_disk_call, file_size_limit

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import RecordError, StorageError
from switchhead_lab.tracking.record import (
    MetricPoint,
    RunLabels,
    RunRecord,
    RunResult,
    find_by_config,
    find_run,
    list_runs,
    read_metrics,
    read_run,
    run_name,
)
from switchhead_lab.tracking.run_dir import RunDir

OpenRun = Callable[..., RunDir]
MakeRun = Callable[..., RunRecord]
MakePoint = Callable[..., MetricPoint]
MakeConfig = Callable[..., RunConfig]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def forbid(monkeypatch: pytest.MonkeyPatch, forbidden: Path) -> None:
    """Make a folder unreadable, like another user's. (Root can read everything.)"""
    for name in ("stat", "open"):
        original = getattr(Path, name)

        def guarded(path: Path, *arguments, original=original, **keywords):
            if forbidden in path.parents:
                raise PermissionError(13, "Permission denied", str(path))
            return original(path, *arguments, **keywords)

        monkeypatch.setattr(Path, name, guarded)


def test_leftovers_are_removed_only_by_the_next_start_of_the_same_run(
    runs_dir: Path, open_run: OpenRun
) -> None:
    run, other = open_run(), open_run(seed=1)
    own_hash, other_hash = run.path.name[-8:], other.path.name[-8:]
    leftovers = {f".words-tiny-dense-0-{own_hash}.{pid}.tmp" for pid in (77, 1234)}
    kept = {f".words-tiny-dense-1-{other_hash}.99.tmp", ".mine.tmp", f".note-{own_hash}"}
    for name in leftovers | kept:
        (runs_dir / name).mkdir()
    inner = {".status.json.0123abcd.tmp", ".metrics.jsonl.ffffffff.tmp"}
    before = names_in(run.path)
    inner_kept = {".mlflow.json.0123abcd.tmp", ".mine.tmp", "notes.txt"}
    for name in inner | inner_kept:
        (run.path / name).touch()
    old = run.path / ".mlflow.json.00000000.tmp"
    old.touch()
    os.utime(old, (0, 0))
    (other.path / ".status.json.0123abcd.tmp").touch()
    run.close("interrupted", 0)
    assert open_run().path == run.path
    assert names_in(run.path) == before | inner_kept
    assert names_in(runs_dir) >= kept
    assert not names_in(runs_dir) & leftovers
    assert (other.path / ".status.json.0123abcd.tmp").exists()


@pytest.mark.parametrize("number", range(11))
def test_a_full_disk_during_a_start_leaves_no_partial_files(
    runs_dir: Path,
    tiny_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """The next start works whether the first left a complete directory or none."""
    labels = RunLabels(size="tiny", variant="dense")
    arguments = (runs_dir, tiny_config(), labels, {}, b"diff")
    with monkeypatch.context() as patch:
        fail_disk_call(patch, "fsync", number)
        with pytest.raises(StorageError, match="No space left on device"):
            RunDir.open(*arguments)
    assert not [path for path in runs_dir.rglob("*") if path.name.startswith(".")]
    run = RunDir.open(*arguments)
    run.close("interrupted", 0)
    assert read_run(run.path).status.state == "interrupted"
    assert (run.path / "uncommitted.diff").read_bytes() == b"diff"


def test_a_point_that_does_not_fit_keeps_earlier_ones(
    open_run: OpenRun, make_point: MakePoint
) -> None:
    run = open_run()
    run.add(make_point(1))
    path = run.path / "metrics.jsonl"
    with file_size_limit(path.stat().st_size + 5):
        with pytest.raises(StorageError, match=r"metrics.jsonl: cannot be written: File too large"):
            run.add(make_point(2))
        run.sync_metrics()
    run.add(make_point(3))
    run.close("failed", 3, "disk")
    assert [point.step for point in read_metrics(path)] == [1, 3]
    assert read_run(run.path).status.state == "failed"


@pytest.mark.parametrize("number", range(4))
def test_a_run_is_not_marked_as_finished_before_its_result_is_on_disk(
    open_run: OpenRun, result: RunResult, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Result and status are synced, and so are their renames: four calls, any of which may fail."""
    run = open_run()
    with monkeypatch.context() as patch:
        fail_disk_call(patch, "fsync", number)
        with pytest.raises(StorageError):
            run.finish(result)
    found = read_run(run.path)
    assert found.result is not None or found.status.state == "running"


def test_a_directory_without_a_status_keeps_its_contents(
    runs_dir: Path, make_run: MakeRun, tiny_config: MakeConfig
) -> None:
    run = make_run("interrupted")
    (run.directory / "status.json").unlink()
    (run.directory / "checkpoints").mkdir()
    (run.directory / "checkpoints" / "mine").touch()
    again = RunDir.open(runs_dir, run.config, run.labels, {}, b"")
    again.close("interrupted", 0)
    assert again.path == run.directory
    assert (run.directory / "checkpoints" / "mine").exists()
    assert [point.step for point in run.metrics()] == [1, 2, 3]


def test_a_folder_in_place_of_a_run_is_not_removed(
    runs_dir: Path, make_run: MakeRun, tiny_config: MakeConfig
) -> None:
    run = make_run()
    labels = RunLabels(size="tiny", variant="other")
    place = runs_dir / run_name(tiny_config(seed=5), labels)
    place.mkdir()
    (place / "notes.txt").touch()
    with pytest.raises(RecordError, match="not a run directory"):
        RunDir.open(runs_dir, tiny_config(seed=5), labels, {}, b"")
    (place / "config.toml").write_bytes((run.directory / "config.toml").read_bytes())
    message = (
        "config.toml was changed: seed = .* instead of 5; undo that, or move the directory away"
    )
    with pytest.raises(RecordError, match=message):
        RunDir.open(runs_dir, tiny_config(seed=5), labels, {}, b"")
    assert (place / "notes.txt").exists()


def test_an_unreadable_run_is_an_error_rather_than_missing(
    runs_dir: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = make_run(), make_run(seed=1)
    forbid(monkeypatch, run.directory)
    allowed = "cannot be read: Permission denied; .*chmod"
    for look in (
        lambda: find_by_config(runs_dir, run.config),
        lambda: find_run(runs_dir, run.name),
        lambda: read_run(run.directory),
        lambda: list(run.metrics()),
        lambda: RunDir.open(runs_dir, run.config, run.labels, {}, b""),
    ):
        with pytest.raises(RecordError, match=allowed):
            look()
    damages: list[Exception] = []
    assert [found.name for found in list_runs(runs_dir, damages.append)] == [other.name]
    assert len(damages) == 1
