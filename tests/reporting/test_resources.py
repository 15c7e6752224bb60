"""Table 5 in a report: from the step bench on disk, and only where there is one."""

import csv
import hashlib
import json

import pytest

from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.selection import Selection


def step(model: str, ms: float, kept: int) -> dict:
    return {
        "model": model,
        "ms": ms,
        "relative_time": ms / 200.0,
        "kept_floats": kept,
        "relative_kept_floats": kept / 1000,
        "times_bound": 3.25,
        "routing_fraction": 0.05,
    }


def write_bench(reports_dir, steps: list[dict]):
    path = reports_dir / "bench" / "step-mini-tiny.json"
    path.parent.mkdir(parents=True)
    bench = {
        "device": "cpu (a test)",
        "precision": "bf16",
        "n_rounds": 25,
        "peak_gflops": 1234.5,
        "steps": steps,
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


def test_bench_stands_beside_the_papers_table(complete) -> None:
    reports_dir = complete.runs_dir.parent / "reports"
    study = complete.sweep.study.name
    names = [complete.sweep.baseline.name, f"{study} 2x4 k=2", "of no counterpart"]
    path = write_bench(reports_dir, [step(n, 200.0 - 10 * i, 1000) for i, n in enumerate(names)])
    report = report_of(complete)
    with (report.folder / "resources.csv").open(encoding="utf-8") as file:
        dense, searched, other = csv.DictReader(file)
    assert (dense["ms_per_step"], dense["paper_relative_time"]) == ("200.0", "1.0")
    # Printed in Table 5 for the 47M models.
    assert (searched["paper_relative_time"], searched["paper_relative_memory"]) == ("0.72", "0.65")
    assert other["paper_relative_time"] == ""
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    assert "Median of 25 whole training steps" in page
    assert "cpu (a test), bf16" in page
    sidecar = json.loads((report.folder / "provenance.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sidecar["sources"] == [{"file": path.name, "sha256": digest}]


def test_a_table_of_an_earlier_bench_does_not_stay(complete) -> None:
    reports_dir = complete.runs_dir.parent / "reports"
    path = write_bench(reports_dir, [step(complete.sweep.baseline.name, 200.0, 1000)])
    assert "resources.csv" in report_of(complete).files
    path.unlink()
    assert not (report_of(complete).folder / "resources.csv").exists()


def test_a_damaged_bench_is_named(complete) -> None:
    path = write_bench(complete.runs_dir.parent / "reports", [])
    path.write_text("{", encoding="utf-8")
    with pytest.raises(RecordError, match="step-mini-tiny.json: damaged"):
        report_of(complete)
