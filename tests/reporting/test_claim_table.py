"""Claims in reports: which runs, costs and timings decide them, and what is printed."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from test_resources import step, write_bench

from switchhead_lab.reporting.claim_table import (
    StatedClaim,
    claim_grid,
    claim_lines,
    read_claims,
)
from switchhead_lab.reporting.report import Report, write_report
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.resources import StepTimes, read_step_times
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.tracking.bench_record import step_id
from switchhead_lab.tracking.code_identity import code_of
from switchhead_lab.tracking.document_losses import DocumentLosses, write_document_losses

NO_TIMES = StepTimes({}, {}, "", "")
HEADS = {"model": "dense-h2", "max_seeds": 3}


@pytest.fixture
def writer_with(make_writer):
    """Make a complete sweep that states claims."""

    def make(*claims: dict[str, Any]):
        writer = make_writer(claims=list(claims))
        writer.fill_models()
        writer.fill_study()
        return writer

    return make


def claims_of(writer, times: StepTimes = NO_TIMES, **record: Any) -> list[StatedClaim]:
    data = read_report_data(writer.record().model_copy(update=record), writer.runs_dir)
    return read_claims(data, times)


def verdicts_of(writer, times: StepTimes = NO_TIMES, **record: Any) -> list[str]:
    return [stated.verdict.verdict for stated in claims_of(writer, times, **record)]


def test_quality_is_paired_by_seed(writer_with) -> None:
    """37.0 - 35.0, 37.1 - 35.5 and 37.5 - 36.0: worse by 1.7 on average."""
    quality = {"kind": "not_worse", "margin": 1.0}
    (stated,) = claims_of(writer_with({**HEADS, "quality": quality}))
    (part,) = stated.verdict.parts
    assert part.part.estimate == pytest.approx(1.7)
    assert part.part.n == 3
    assert stated.verdict.verdict == "refuted"
    assert part.interval is not None
    assert 1.0 < part.interval[0] < 1.7 < part.interval[1]
    assert stated.looks == (3,)


def test_a_missing_run_withholds_the_verdict_everywhere(writer_with) -> None:
    writer = writer_with(
        {**HEADS, "quality": {"kind": "not_worse", "margin": 1.0}},
        {**HEADS, "name": "size", "cost": {"parameters": 1.01}},
    )
    assert [one.verdict_text for one in claims_of(writer)] == ["refuted", "supported"]
    writer.forget("dense", 1)
    claims = claims_of(writer)
    shown = [one.verdict_text for one in claims]
    assert shown[0].startswith("runs missing: ")
    assert shown[1] == "supported"
    assert claims[0].gaps == ("dense has 2 of 3 seeds.",)
    grid = claim_grid(claims)
    assert [(c.text, c.value) for c in (grid.cell(row, "verdict") for row in grid.rows)] == [
        (text, text) for text in shown
    ]


@pytest.mark.parametrize(
    ("ours", "sentence"),
    [
        ([30.0, 44.0, 52.0], " Over the 3 documents of the validation split alone (bootstrap, "),
        ([30.0], " The validation split is a single document, whose losses say nothing "),
    ],
)
def test_one_seed_says_what_its_documents_do(make_writer, ours: list[float], sentence: str) -> None:
    claim = {"model": "dense-h2", "quality": {"kind": "not_worse", "margin": 1.0}}
    writer = make_writer(studies=None, claims=[claim])
    for name, role, model, losses in (
        ("dense", "baseline", writer.dense(), [loss - 1.0 for loss in ours]),
        ("dense-h2", "declared", writer.head_matched(), ours),
    ):
        folder = writer.add(name, role, model, 0, 30.0)
        one = DocumentLosses(n_targets=[10] * len(losses), loss_nats=losses)
        write_document_losses(folder, "validation", one)
    (stated,) = claims_of(writer)
    assert not stated.has_verdict
    (line,) = [line for line in claim_lines([stated]) if "needs two seeds" in line]
    assert sentence in line
    assert ("differs by +0.1000 nats (+0.1000 to +0.1000)" in line) == (len(ours) > 1)


def test_costs_are_ratios_in_the_named_convention(writer_with) -> None:
    writer = writer_with(
        {**HEADS, "name": "size", "cost": {"parameters": 1.01}},
        {**HEADS, "name": "macs", "cost": {"macs": 0.5}},
        {**HEADS, "name": "executed", "cost": {"attention-macs:executed": 2.0}},
    )
    size, macs, executed = claims_of(writer)
    assert [one.verdict.verdict for one in (size, macs, executed)][:2] == ["supported", "refuted"]
    assert macs.parts[0].name == "attention-macs:published"
    assert executed.parts[0].name == "attention-macs:executed"
    base, other = (
        writer.record().resolved(m).costs for m in (writer.dense(), writer.head_matched())
    )
    ratio = other.attention_macs("published") / base.attention_macs("published")
    assert macs.verdict.parts[0].part.estimate == pytest.approx(ratio)


def test_the_seed_that_selected_a_model_does_not_count(writer_with) -> None:
    writer = writer_with({"model": "switchhead", "quality": {"margin": 1.0}})
    (stated,) = claims_of(writer)
    # Seeds 0 and 1 of the best candidate are there; seed 0 chose it.
    assert stated.looks == (1,)
    assert stated.verdict.parts[0].part.estimate == pytest.approx(34.75 - 35.5)
    assert stated.verdict.verdict == "undecided"
    assert "needs two seeds" in claim_lines([stated])[-1]


def test_looks_have_a_price(writer_with) -> None:
    claim = {**HEADS, "name": "worse", "quality": {"kind": "not_worse", "margin": 1.0}}
    assert verdicts_of(writer_with(claim)) == ["refuted"]
    planned = writer_with({**claim, "max_seeds": 12})
    assert verdicts_of(planned) == ["undecided"]
    (stated,) = claims_of(planned, looks={"worse": [2]})
    assert stated.looks == (2, 3)
    assert "worse: 3 of 12 seeds, 2 looks" in claim_lines([stated])[-1]


def test_an_undecided_claim_says_how_many_seeds_it_needs(writer_with) -> None:
    """The mean is 1.7, its standard deviation 0.26."""

    def last_line(kind: str, margin: float, max_seeds: int) -> str:
        quality = {"kind": kind, "margin": margin}
        claim = {**HEADS, "quality": quality, "max_seeds": max_seeds}
        return claim_lines(claims_of(writer_with(claim)))[-1]

    assert "it probably needs 4 seeds; `--until-decided` with" in last_line("not_worse", 2.2, 12)
    assert "4 seeds are probably too few" in last_line("not_worse", 1.75, 4)
    assert "on the other side of the bound" in last_line("not_worse", 1.6, 12)


def test_an_undecided_time_names_the_command_that_measures_it(writer_with) -> None:
    claim = {**HEADS, "quality": {"kind": "not_worse", "margin": 1.0}, "cost": {"time": 0.9}}
    with_quality = claim_lines(claims_of(writer_with(claim)))[-1]
    assert "The time is undecided: `lab bench step` times the steps, with the sweep" in with_quality
    only_time = claim_lines(claims_of(writer_with({"model": "dense-h2", "cost": {"time": 0.9}})))
    assert only_time[-1].endswith("more --rounds narrow its interval.")
    only_macs = {"model": "dense-h2", "cost": {"attention-macs": 0.9}}
    assert "bench step" not in " ".join(claim_lines(claims_of(writer_with(only_macs))))


def test_missing_runs_leave_a_claim_undecided(writer_with) -> None:
    writer = writer_with({**HEADS, "quality": {"kind": "not_worse", "margin": 1.0}})
    for seed in (0, 1):
        writer.forget("dense-h2", seed)
    assert verdicts_of(writer) == ["undecided"]
    writer.forget("dense-h2", 2)
    (stated,) = claims_of(writer)
    assert stated.verdict.parts[0].part.estimate is None


def test_an_infinite_value_decides_nothing(writer_with) -> None:
    writer = writer_with({**HEADS, "quality": {"kind": "not_worse", "margin": 1.0}})
    writer.forget("dense-h2", 2)
    path = writer.runs_dir / next(m.run_name for m in writer.members if m.model == "dense-h2")
    result = json.loads((path / "result.json").read_text())
    result["validation_perplexity"] = None
    (path / "result.json").write_text(json.dumps(result))
    assert verdicts_of(writer) == ["undecided"]


def test_times_are_those_of_the_benchmark_by_round(writer_with) -> None:
    writer = writer_with({**HEADS, "cost": {"time": 0.9}})
    reports_dir = writer.runs_dir.parent / "reports"
    rounds = {"dense": [10.0, 12.0, 11.0, 10.5], "dense-h2": [8.0, 9.7, 8.7, 8.4]}
    steps = []
    for name, model in (("dense", writer.dense()), ("dense-h2", writer.head_matched())):
        config = writer.config(model, 0)
        identity = step_id(model, config.vocab_size, config.n_outputs, 8)
        timed = step(name, rounds[name][0], 1, step_id=identity, code=code_of(config).digest)
        steps.append({**timed, "rounds_ms": rounds[name]})
    write_bench(reports_dir, writer.sweep, steps)
    data = read_report_data(writer.record(), writer.runs_dir)
    (stated,) = read_claims(data, read_step_times(data, reports_dir))
    assert stated.verdict.verdict == "supported"
    part = stated.verdict.parts[0].part
    assert part.n == 4
    assert part.estimate == pytest.approx(0.800, abs=2e-3)
    assert verdicts_of(writer) == ["undecided"]  # without a benchmark


def test_margins_in_nats_are_also_given_in_other_metrics(writer_with) -> None:
    quality = {"metric": "validation/loss", "margin": 0.01}
    (stated,) = claims_of(writer_with({**HEADS, "quality": quality}))
    # exp(0.01), and 1.5 bits per byte for 3.5 nats.
    assert stated.parts[0].statement == (
        "within 0.010 nats of dense (perplexity within a factor of 1.01, 0.0043 bits per byte)"
    )


def report_of(writer) -> Report:
    reports_dir = writer.runs_dir.parent / "reports"
    return write_report(Selection(writer.write(), ()), writer.runs_dir, reports_dir)


def test_the_page_begins_with_the_verdicts(writer_with) -> None:
    quality = {"kind": "not_worse", "margin": 1.0}
    writer = writer_with({**HEADS, "quality": quality, "cost": {"parameters": 1.01}})
    report = report_of(writer)
    page = (report.folder / "report.md").read_text()
    assert page.index("## Claims") < page.index("## Comparison")
    rows = list(csv.DictReader((report.folder / "claims.csv").read_text().splitlines()))
    assert [row["part"] for row in rows] == ["validation perplexity", "parameters"]
    assert [row["verdict"] for row in rows] == ["refuted", "refuted"]
    assert [row["part_verdict"] for row in rows] == ["refuted", "supported"]
    assert float(rows[0]["estimate"]) == pytest.approx(1.7)
    cells = json.loads((report.folder / "provenance.json").read_text())["cells"]
    assert any("claims" in str(cell) for cell in cells)


def test_without_claims_there_is_no_section(make_writer, tmp_path: Path) -> None:
    writer = make_writer()
    writer.fill_models()
    report = report_of(writer)
    assert report.claims is None
    assert "Claims" not in (report.folder / "report.md").read_text()
    assert not (report.folder / "claims.md").exists()
