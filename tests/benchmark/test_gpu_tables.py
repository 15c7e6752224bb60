"""Printed and written results of a GPU run: ratios follow from figures, failures are shown."""

from pathlib import Path

import pytest
from gpu_results import write_run

from switchhead_lab.benchmark.gpu.checkout import ROOT
from switchhead_lab.benchmark.gpu.document import BEGIN, END, section, update_document
from switchhead_lab.benchmark.gpu.plan import MINUTES, PARTS, RESERVED_SECONDS
from switchhead_lab.benchmark.gpu.tables import page, summary
from switchhead_lab.benchmark.gpu.tables_of_parts import tables_of
from switchhead_lab.errors import RecordError


def test_ratios_are_to_dense_in_the_same_mode(tmp_path: Path) -> None:
    text = page(write_run(tmp_path))
    dense = "| small | xl | dense | eager | 100.00 | 1.000 | 10,000 | 20.00 | 1.000 | 2% | 64 |"
    assert dense in text  # 1000 GFLOP at 500 TFLOP/s are 2 ms
    assert "| small | xl | switchhead | eager | 70.00 | 0.700 | 14,286 | 15.00 | 0.750 |" in text
    assert "| small | xl | switchhead | captured | 50.00 | 1.000 | 20,000 | 10.00 | 1.000 |" in text


def test_expert_matmuls_are_compared_with_a_matmul(tmp_path: Path) -> None:
    text = page(write_run(tmp_path))
    row = "| value | 412/76 | 2 | bf16 | triton | 200.0 | 2.00 | 40 | 200.0 | 2.00 | 40 | 1e-03 |"
    assert row in text


def test_failures_are_shown_as_failures_everywhere(tmp_path: Path) -> None:
    results = write_run(tmp_path)
    assert not results["is_right"]
    wrong = "kernels, 412/76 bf16: wrong: tolerance 8e-03"
    crashed = "models, MoA, RoPE, bf16: crashed: SIGSEGV"
    for text in (page(results), "\n".join(summary(results)), section(tmp_path)):
        assert wrong in text
        assert crashed in text
        assert "Test Card 80GB, driver 580.1, CUDA 13.0, PyTorch 2.11.0, Triton 3.6.0" in text
    assert "| 412/76 bf16 | wrong | 5.0e-01 | 8e-03 | value, random, output | no |" in page(results)
    assert "skipped: no time left" in page(results)
    assert "0 of 1 cases done" in page(results)


def test_a_run_that_ran_out_of_time_has_not_failed(tmp_path: Path) -> None:
    results = write_run(tmp_path)
    bad = {part["name"] for part in results["parts"] if part["n_bad"]}
    assert bad == {"kernels", "models"}


def test_every_part_has_a_table_and_fits_the_time(tmp_path: Path) -> None:
    results = write_run(tmp_path)
    assert [part["name"] for part in results["parts"]] == [part.name for part in PARTS]
    for part in results["parts"]:
        has_findings = any(case["findings"] for case in part["cases"])
        assert bool(tables_of(part, results)) == (has_findings and part["name"] != "machine")
    with pytest.raises(AssertionError, match="part other has no tables"):
        tables_of({"name": "other", "cases": []}, results)
    assert sum(part.seconds for part in PARTS) + RESERVED_SECONDS <= 60 * MINUTES
    assert all(part.case_seconds > 0 for part in PARTS)


def test_the_kernels_readme_matches_the_recorded_runs() -> None:
    """Written by `python -m switchhead_lab.benchmark.gpu --document`."""
    text = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")
    assert f"{BEGIN}\n{section(ROOT / 'reports')}\n{END}" in text


def test_the_document_has_recorded_figures_but_no_dry_run(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_run(tmp_path / "reports", "dry", is_dry_run=True)
    update_document(document, tmp_path / "reports")
    assert "No run on a GPU is recorded." in document.read_text()
    write_run(tmp_path / "reports")
    update_document(document, tmp_path / "reports")
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "All figures: `reports/gpu/test-card/gpu.md`." in text
    assert "| small | xl | switchhead | 70.00 | 0.700 | 15.00 | 50.00 | 1.000 | 10.00 |" in text
    assert "No run on a GPU is recorded." not in text


def test_a_document_without_the_section_is_rejected(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("nothing\n")
    with pytest.raises(RecordError, match="needs one line"):
        update_document(document, tmp_path)
    assert document.read_text() == "nothing\n"
