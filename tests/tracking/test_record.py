import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError, LabError, RecordError
from switchhead_lab.tracking.record import (
    MetricPoint,
    RunLabels,
    RunRecord,
    find_run,
    list_runs,
    read_metrics,
    read_run,
    run_name,
)
from switchhead_lab.tracking.run_dir import RunDir

MakeRun = Callable[..., RunRecord]


def test_damaged_runs_are_skipped_with_warnings(
    runs_dir: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    good = make_run()
    for seed, name in enumerate(("result.json", "config.toml", "labels.json"), start=1):
        bad = make_run(seed=seed)
        (bad.directory / name).write_text("{", encoding="utf-8")
    damages: list[LabError] = []
    assert [run.name for run in list_runs(runs_dir, damages.append)] == [good.name]
    assert len(damages) == 3
    assert [run.name for run in list_runs(runs_dir)] == [good.name]
    assert capsys.readouterr().err.count("warning: skipped: ") == 3


def test_an_unreadable_file_is_an_error(make_run: MakeRun) -> None:
    run = make_run()
    (run.directory / "provenance.json").unlink()
    (run.directory / "provenance.json").mkdir()
    with pytest.raises(RecordError, match=r"provenance\.json: cannot be read"):
        read_run(run.directory)


def test_a_missing_runs_folder_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "none") == []


def test_the_name_of_a_run_has_its_main_values_and_its_hash(tiny_config) -> None:
    config = tiny_config(seed=4, learning_rate=2e-3)
    name = run_name(config, RunLabels(size="pocket", variant="dense"))
    assert name == f"words-pocket-dense-xl-lr0.002-4-{identity(config)[:8]}"


def test_runs_are_found_by_name_and_by_hash(
    runs_dir: Path, make_run: MakeRun, tiny_config: Callable[..., RunConfig]
) -> None:
    run = make_run()
    other = make_run(seed=1)
    assert find_run(runs_dir, run.name).name == run.name
    assert find_run(runs_dir, other.run_hash[:6]).name == other.name
    start = run.run_hash[0]
    make_run(seed=next(s for s in range(2, 999) if identity(tiny_config(seed=s))[0] == start))
    with pytest.raises(RecordError, match="several runs"):
        find_run(runs_dir, start)
    with pytest.raises(RecordError, match=f'did you mean "{run.name}"'):
        find_run(runs_dir, run.name[:-1] + "x")


@pytest.mark.parametrize("reference", ["", ".", "..", "../outside", "/", "{run}/", "./{run}"])
def test_a_path_is_not_a_run_reference(runs_dir: Path, make_run: MakeRun, reference: str) -> None:
    run = make_run()
    shutil.copytree(run.directory, runs_dir.parent / "outside")
    with pytest.raises(RecordError, match="not a path"):
        find_run(runs_dir, reference.format(run=run.name))


@pytest.mark.parametrize("label", ["a/b", "../../../escaped/x", "n" * 250, "", "A"])
@pytest.mark.parametrize("field", ["size", "variant"])
def test_invalid_labels_create_no_directory(
    tmp_path: Path, tiny_config: Callable[..., RunConfig], field: str, label: str
) -> None:
    labels = RunLabels(**{"size": "tiny", "variant": "model", field: label})
    with pytest.raises(ConfigError, match="1 to 40 lower-case letters"):
        RunDir.open(tmp_path / "a" / "b" / "runs", tiny_config(), labels, {}, b"")
    assert not list(tmp_path.rglob("*.toml"))


def test_a_truncated_last_line_is_skipped(
    open_run: Callable[..., RunDir], make_point: Callable[..., MetricPoint]
) -> None:
    run = open_run()
    run.add(make_point(1))
    run.add(make_point(2))
    path = run.path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert [point.step for point in read_metrics(path)] == [1]


@pytest.mark.parametrize("line", [b"\0\0\0\n", b"\xff\xfe\n", b'{"step": 1}\n', b"[1]\n", b"\n"])
def test_a_damaged_complete_line_is_an_error(make_run: MakeRun, line: bytes) -> None:
    run = make_run()
    with (run.directory / "metrics.jsonl").open("ab") as file:
        file.write(line)
    with pytest.raises(RecordError, match="line 4 is damaged"):
        list(run.metrics())
