"""Table 5 in a report from recorded GPU runs: same models only, with card and versions."""

import csv
import json
from pathlib import Path

import pytest
from gpu_results import write_run

from switchhead_lab.budget.matching import baseline_model
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.gpu_resources import read_gpu_resources
from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.sweeping.plan import declared_variants, resolved_model
from switchhead_lab.tracking.bench_record import step_id
from switchhead_lab.tracking.sweep_record import SweepRecord

SWEEPS = Path(__file__).parents[2] / "sweeps"


def table5(size: str, *overrides: str) -> SweepRecord:
    return record_of(find_sweep(SWEEPS, "paper/table5-wikitext103").resolve(size, overrides))


def record_of(sweep: Sweep) -> SweepRecord:
    """Return the sweep's record before any of its runs."""
    models = [resolved_model(sweep, variant) for variant in declared_variants(sweep)]
    return SweepRecord(sweep=sweep, models=models, started_at=1.0, updated_at=1.0)


def test_steps_are_beside_the_papers_rows(tmp_path: Path) -> None:
    write_run(tmp_path)
    (found,) = read_gpu_resources(table5("small"), tmp_path)
    assert found.name == "resources-test-card"
    assert "Test Card 80GB (driver 580.1, CUDA 13.0, PyTorch 2.11.0, Triton 3.6.0" in found.caption
    rows = {
        (found.grid.cell(row, "model").value, found.grid.cell(row, "mode").value): row
        for row in found.grid.rows
    }
    eager = rows["switchhead", "eager"]

    def values(row):
        keys = ("relative_time", "paper_relative_time", "relative_memory", "paper_relative_memory")
        return tuple(found.grid.cell(row, key).value for key in keys)

    assert values(eager) == (0.7, 0.72, 0.75, 0.65)
    assert values(rows["moa", "captured"]) == (1.0, 0.87, 1.0, 0.75)
    # The paper's Table 5 has no dense model of two heads.
    assert values(rows["dense-2-heads", "eager"])[1::2] == (None, None)


def test_any_sweep_with_the_same_models_has_them(tmp_path: Path) -> None:
    write_run(tmp_path)
    sweep = record_of(find_sweep(SWEEPS, "paper/table2-wikitext103").resolve("small"))
    (found,) = read_gpu_resources(sweep, tmp_path)
    models = [found.grid.cell(row, "model").value for row in found.grid.rows]
    assert models[::2] == models[1::2] == ["dense", "switchhead", "dense-2-heads"]


def test_other_models_batches_and_dry_runs_have_no_table(tmp_path: Path) -> None:
    write_run(tmp_path)
    write_run(tmp_path, "dry", is_dry_run=True)
    assert read_gpu_resources(table5("large"), tmp_path) == ()
    halved = ("training.batch_size=32", "training.micro_batch_size=32")
    assert read_gpu_resources(table5("small", *halved), tmp_path) == ()
    assert len(read_gpu_resources(table5("small"), tmp_path)) == 1


def test_a_run_of_an_older_version_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, provenance={})
    with pytest.raises(RecordError, match="gpu.json: no GPU run of this version .'git'."):
        read_gpu_resources(table5("small"), tmp_path)


def test_a_report_has_a_table_for_each_card(complete) -> None:
    """Steps of the same sweep, on two cards."""
    reports_dir, sweep = complete.runs_dir.parent / "reports", complete.sweep
    sizes = (sweep.vocab_size, sweep.n_outputs, sweep.training.batch_size)
    wanted = step_id(baseline_model(sweep), *sizes)
    for card in ("a", "b"):
        results = write_run(reports_dir, card)
        steps = next(part for part in results["parts"] if part["name"] == "steps")
        for case in steps["cases"]:
            case["findings"]["step_id"] = wanted
        (reports_dir / "gpu" / card / "gpu.json").write_text(json.dumps(results))
    report = write_report(Selection(complete.write(), ()), complete.runs_dir, reports_dir)
    assert {"resources-a.md", "resources-a.csv", "resources-b.md"} <= set(report.files)
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    assert page.count("Time and memory of a training step (Table 5)") == 1
    assert page.count("each model alone on Test Card 80GB") == 2
    with (report.folder / "resources-a.csv").open(encoding="utf-8") as file:
        assert next(csv.DictReader(file))["ms_per_step"] == "100.0"
    (reports_dir / "gpu" / "b" / "gpu.json").unlink()
    again = write_report(Selection(complete.write(), ()), complete.runs_dir, reports_dir)
    assert "resources-b.md" not in again.files
    assert not (report.folder / "resources-b.md").exists()
