"""Loss curves and use of experts in the report of a sweep."""

import json

import pytest

from switchhead_lab.reporting.report import Report, write_report
from switchhead_lab.reporting.selection import Selection


@pytest.fixture
def writer(make_writer):
    """A sweep whose runs have recorded validations."""
    writer = make_writer(studies=None)
    for seed in (0, 1, 2):
        losses = {50: 4.0 + seed, 100: 3.0}
        writer.add("dense", "baseline", writer.dense(), seed, 20.0, validations=losses)
    return writer


def report_of(writer) -> Report:
    reports = writer.runs_dir.parent / "reports"
    return write_report(Selection(writer.write(), ()), writer.runs_dir, reports)


def further(report: Report) -> set[str]:
    return {name for name in report.files if name.endswith(".png") and "-vs-" not in name}


def test_curves_and_use_of_experts_are_drawn_where_recorded(writer) -> None:
    report = report_of(writer)
    assert further(report) == {"loss-curves.png"}
    model = writer.switchhead(2, 4, 2)
    folder = writer.add("switchhead-declared", "declared", model, 0, 21.0, validations={50: 4.0})
    counts = {"counts": {"blocks.0.attention.output_router": [[1, 2, 3, 4], [4, 3, 2, 1]]}}
    (folder / "router_use.json").write_text(json.dumps(counts), encoding="utf-8")
    report = report_of(writer)
    assert further(report) == {"loss-curves.png", "expert-use-switchhead-declared.png"}
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    assert "(loss-curves.png)" in page
    assert "(expert-use-switchhead-declared.png)" in page
    (folder / "router_use.json").unlink()
    report = report_of(writer)
    assert further(report) == {"loss-curves.png"}
    assert not (report.folder / "expert-use-switchhead-declared.svg").exists()


def test_a_report_without_recorded_validations_has_neither(complete) -> None:
    assert further(report_of(complete)) == {"search-switchhead.png"}


def test_a_search_with_one_result_is_not_drawn(make_writer) -> None:
    writer = make_writer()
    writer.fill_models()
    model, point = writer.switchhead(1, 4, 2), {"n_heads": 1, "n_experts": 4, "top_k": 2}
    writer.add("switchhead", "candidate", model, 0, 34.5, trial_number=0, point=point)
    assert further(report_of(writer)) == set()
