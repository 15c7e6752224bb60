"""Table 5 in a report: from the step bench on disk, if there is one."""

import csv
import hashlib
import json
from pathlib import Path

import pytest

from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.contents import read_contents
from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.resources import read_resources
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.reporting.tradeoff import tradeoff_points
from switchhead_lab.sweeping.timed_models import models_to_time
from switchhead_lab.tracking.bench_record import step_id
from switchhead_lab.tracking.code_identity import code_of
from switchhead_lab.tracking.sweep_record import sweep_id

SWEEPS = Path(__file__).parents[2] / "sweeps"


def step(
    model: str, ms: float, kept: int, family: str = "dense", step_id: str = "", code: str = ""
) -> dict:
    return {
        "code": code,
        "model": model,
        "family": family,
        "step_id": step_id,
        "ms": ms,
        "relative_time": ms / 200.0,
        "saved_floats": kept,
        "relative_saved_floats": kept / 1000,
        "times_bound": 3.25,
        "routing_fraction": 0.05,
    }


def write_bench(reports_dir, sweep, steps: list[dict], **changes):
    path = reports_dir / "bench" / f"step-{sweep_id(sweep)}.json"
    path.parent.mkdir(parents=True)
    bench = {
        "sweep_id": sweep_id(sweep),
        "device": "cpu (a test)",
        "precision": "bf16",
        "n_rounds": 25,
        "peak_gflops": 1234.5,
        "steps": steps,
        **changes,
    }
    path.write_text(json.dumps(bench), encoding="utf-8")
    return path


def report_of(writer):
    reports_dir = writer.runs_dir.parent / "reports"
    return write_report(Selection(writer.write(), ()), writer.runs_dir, reports_dir)


def test_no_bench_no_table(complete) -> None:
    report = report_of(complete)
    assert "resources.md" not in report.files
    assert "Table 5" not in (report.folder / "report.md").read_text(encoding="utf-8")


def test_bench_is_beside_the_papers_table(complete) -> None:
    reports_dir = complete.runs_dir.parent / "reports"
    study = complete.sweep.studies[0].name
    names = [complete.sweep.baseline.name, f"{study} n_heads=2 n_experts=4 top_k=2", "dense-h2"]
    families = ["dense", "SwitchHead", "dense"]
    steps = [
        step(name, 200.0 - 10 * i, 1000, family)
        for i, (name, family) in enumerate(zip(names, families, strict=True))
    ]
    path = write_bench(reports_dir, complete.sweep, steps)
    report = report_of(complete)
    with (report.folder / "resources.csv").open(encoding="utf-8") as file:
        dense, searched, other = csv.DictReader(file)
    assert (dense["ms_per_step"], dense["paper_relative_time"]) == ("200.0", "1.0")
    # Printed in Table 5 for the 47M models.
    assert (searched["paper_relative_time"], searched["paper_relative_memory"]) == ("0.72", "0.65")
    # Dense like the baseline, but with fewer heads than the paper's.
    assert other["paper_relative_time"] == ""
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    assert "Median of 25 whole training steps" in page
    assert "cpu (a test), bf16" in page
    sidecar = json.loads((report.folder / "provenance.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sidecar["sources"] == [{"file": path.name, "sha256": digest}]


def test_a_stale_bench_table_is_removed(complete) -> None:
    reports_dir = complete.runs_dir.parent / "reports"
    path = write_bench(reports_dir, complete.sweep, [step("dense", 200.0, 1000)])
    assert "resources.csv" in report_of(complete).files
    path.unlink()
    assert not (report_of(complete).folder / "resources.csv").exists()


def test_a_damaged_bench_is_named(complete) -> None:
    path = write_bench(complete.runs_dir.parent / "reports", complete.sweep, [])
    path.write_text("{", encoding="utf-8")
    with pytest.raises(RecordError, match=f"{path.name}: damaged"):
        report_of(complete)


def test_a_bench_of_an_older_version_is_named(complete) -> None:
    path = write_bench(complete.runs_dir.parent / "reports", complete.sweep, [{"model": "dense"}])
    with pytest.raises(RecordError, match=f"{path.name}: no step bench of this version .*again"):
        report_of(complete)


def test_every_family_is_beside_its_own_row_of_the_paper(tmp_path) -> None:
    """Table 5 at 47M: MoA takes 0.87 of the dense time, SwitchHead 0.72; it has no SwitchAll."""
    sweep = find_sweep(SWEEPS, "paper/table1-wikitext103").resolve()
    families = ["dense", "MoA", "SwitchHead", "SwitchHead + sigma-MoE", "dense"]
    steps = [step(sweep.baseline.name, 200.0, 1000, families[0])]
    steps += [step(f"model-{i}", 200.0, 1000, f) for i, f in enumerate(families[1:])]
    write_bench(tmp_path, sweep, steps)
    grid = read_resources(sweep, tmp_path).grid
    times = [grid.cell(row, "paper_relative_time").value for row in grid.rows]
    assert times == [1.0, 0.87, 0.72, None, None]


def test_the_main_table_has_interleaved_times_of_the_same_models_only(complete) -> None:
    """Found by what a step depends on: the bench's names may come from another declaration."""
    sweep, reports_dir = complete.sweep, complete.runs_dir.parent / "reports"

    def id_of(model) -> str:
        return step_id(model, sweep.vocab_size, sweep.n_outputs, sweep.training.batch_size)

    ids = [id_of(complete.dense()), id_of(complete.switchhead(1, 4, 2)), "another"]
    models = (complete.dense(), complete.switchhead(1, 4, 2))
    codes = [*(code_of(complete.config(model, 0)).digest for model in models), ""]
    steps = [
        step(name, ms, 1000, step_id=key, code=code)
        for name, ms, key, code in zip(
            ["a", "b", "dense-h2"], [200.0, 150.0, 1.0], ids, codes, strict=True
        )
    ]
    write_bench(reports_dir, sweep, steps)
    report = report_of(complete)
    found = {
        row["model"]: (row["interleaved_ms_per_step"], row["relative_interleaved_ms_per_step"])
        for row in report.table.records()
    }
    assert found == {
        "dense": (200.0, 1.0),
        "dense-h2": (None, None),
        "switchhead-declared": (None, None),
        "switchhead": (150.0, 0.75),
    }
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    assert "median of 25 training steps of each model, in turn in one process on cpu (a" in page
    assert "perplexity-vs-time.png" in report.files
    assert "](perplexity-vs-time.png)" in page
    assert "Note: dense-h2 is not in the figure of step times, since it was not timed" in page
    contents = read_contents(read_report_data(complete.write(), complete.runs_dir), reports_dir)
    axis = contents.axes[-1]
    points = tradeoff_points(contents.data, axis)
    assert [(point.label, point.cost) for point in points] == [
        ("dense (n=3)", 0.2),
        ("switchhead (n=1)", 0.15),
    ]


def test_timings_from_different_code_than_the_runs_are_omitted(complete) -> None:
    sweep, reports_dir = complete.sweep, complete.runs_dir.parent / "reports"
    sizes = (sweep.vocab_size, sweep.n_outputs, sweep.training.batch_size)
    key = step_id(complete.dense(), *sizes)
    write_bench(reports_dir, sweep, [step("dense", 200.0, 1000, step_id=key, code="0" * 16)])
    report = report_of(complete)
    assert report.table.records()[0]["interleaved_ms_per_step"] is None
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    assert "Timings of dense are omitted: they come from different code than its runs." in page


def test_the_best_of_a_finished_search_is_timed_as_well(complete) -> None:
    sweep = complete.sweep
    before = [variant.title for variant in models_to_time(sweep, complete.runs_dir)]
    assert before == ["dense", "dense-h2", "switchhead-declared"]
    complete.write()
    found = models_to_time(sweep, complete.runs_dir)
    assert [variant.title for variant in found] == [
        *before,
        "switchhead n_heads=1 n_experts=4 top_k=2",
    ]
    assert found[-1].model == complete.switchhead(1, 4, 2)
