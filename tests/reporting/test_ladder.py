"""Reports of sweeps over several sizes, from records whose law is known."""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
from html_document import Document, Element, problems_of, read_html

from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.reporting.html.site import site_text
from switchhead_lab.reporting.ladder_report import LadderReport, write_ladder
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.selection import recorded_sweeps, select_rungs
from switchhead_lab.sweeping.plan import declared_variants

SIZES = {"xs": (32, 8), "s": (64, 16), "m": (128, 32)}
CHANGES = {"paper": None, "studies": None, "ladder": [*SIZES], "name": "steps"}
MODELS = [{"kind": "dense", "name": "cheap", "n_heads": 2, "seeds": [0, 1, 2]}]


def training_macs(writer) -> dict[str, float]:
    tokens = writer.config(writer.dense(), 0).training.n_steps * 8 * 32
    return {
        known.name: 3.0 * tokens * known.costs.model_macs_per_token("executed")
        for known in writer.resolved()
    }


@pytest.fixture
def runs_dir(make_writer) -> Path:
    """Three sizes on the law loss = 20 MACs^-0.05; the other model's is 2 % lower."""
    for size, (d_model, d_head) in SIZES.items():
        writer = make_writer(
            **CHANGES,
            size=size,
            model={
                "d_model": d_model,
                "n_layers": 2,
                "seq_len": 32,
                "context_multiple": 1,
                "positions": {"kind": "rope"},
            },
            baseline={"n_heads": 8, "d_head": d_head, "d_ff": 4 * d_model, "seeds": [0, 1, 2]},
            models=MODELS,
        )
        macs = training_macs(writer)
        for variant in declared_variants(writer.sweep):
            role = "baseline" if variant.name == "dense" else "declared"
            for seed in (0, 1, 2):
                loss = 20.0 * macs[variant.name] ** -0.05 * (0.98 if role == "declared" else 1.0)
                loss += 0.001 * (seed - 1)
                values = {"validation_loss_nats": loss}
                writer.add(variant.name, role, variant.model, seed, math.exp(loss), **values)
        writer.write()
    return writer.runs_dir


def ladder(runs_dir: Path) -> LadderReport:
    rungs = select_rungs(runs_dir, "steps", [*SIZES])
    found = {one.record.sweep.size: read_report_data(one.record, runs_dir) for one in rungs}
    return write_ladder("steps", [*SIZES], found, runs_dir.parent / "reports")


def rows(report: LadderReport, name: str) -> list[dict[str, str]]:
    with (report.folder / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_laws_and_multipliers_are_those_of_the_losses(runs_dir) -> None:
    report = ladder(runs_dir)
    for law in rows(report, "laws.csv"):
        assert float(law["exponent"]) == pytest.approx(0.05, abs=1e-4)
        assert float(law["exponent_low"]) < 0.05 < float(law["exponent_high"])
    found = {(row["model"], row["size"]): row for row in rows(report, "table.csv")}
    assert [*found] == [(model, size) for model in ("dense", "cheap") for size in SIZES]
    assert found["dense", "s"]["compute_multiplier"] == ""
    # 2 % less loss at the same law: (1 / 0.98)^(1 / 0.05) times the compute.
    multiplier = 0.98 ** (-1 / 0.05)
    row = found["cheap", "s"]
    assert float(row["compute_multiplier"]) == pytest.approx(multiplier, rel=1e-3)
    assert float(row["compute_multiplier_low"]) < multiplier
    assert float(row["compute_multiplier_high"]) > multiplier
    assert report.incomplete == ()


def test_training_macs_are_of_the_whole_model_forward_and_backward(runs_dir) -> None:
    report = ladder(runs_dir)
    run = json.loads((runs_dir / rows_runs(report)[0] / "result.json").read_text(encoding="utf-8"))
    (row,) = [r for r in report.table.records() if (r["model"], r["size"]) == ("dense", "xs")]
    sweep = json.loads((report.folder / "provenance.json").read_text(encoding="utf-8"))["sweeps"][0]
    assert sweep["declaration"]["size"] == "xs"
    per_token = float(row["training_macs"]) / (3.0 * run["n_tokens"])
    # Output layer, and of both layers: the projections, the feed-forward and the attention maps.
    blocks = 2 * (4 * 32 * 64 + 2 * 32 * 128 + 2 * 64 * 32)
    assert per_token == 32 * 256 + blocks


def rows_runs(report: LadderReport) -> tuple[str, ...]:
    return report.table.cell(report.table.rows[0], "training_macs").runs


def test_losses_outside_the_baselines_are_not_extrapolated(runs_dir) -> None:
    report = ladder(runs_dir)
    texts = [report.table.cell(row, "compute_multiplier").text for row in report.table.rows]
    assert texts[-1] == "not enclosed"  # its largest size is better than any dense one
    assert any('"not enclosed" means' in line for line in report.caption)


@pytest.mark.draws_figures
def test_a_missing_size_and_a_missing_run_are_loud(runs_dir) -> None:
    report = ladder(runs_dir)
    shutil.rmtree(runs_dir / rows_runs(report)[0])
    for record in (runs_dir / "sweeps").glob("steps-m-*"):
        shutil.rmtree(record) if record.is_dir() else record.unlink()
    report = ladder(runs_dir)
    assert report.incomplete[0] == (
        "INCOMPLETE: size m has not been run; "
        "no sweep file gives the declaration of the others now."
    )
    assert report.incomplete[1].startswith("INCOMPLETE: size xs: dense has 2 of 3 seeds")
    for name in ("report.md", "table.md"):
        text = (report.folder / name).read_text(encoding="utf-8")
        assert all(line in text for line in report.incomplete), name
    text = (report.folder / "table.tex").read_text(encoding="utf-8")
    assert f"INCOMPLETE: {len(report.incomplete)} gaps; see the notes." in text


@pytest.mark.thorough
@pytest.mark.draws_figures
def test_equal_records_give_equal_bytes(runs_dir) -> None:
    first = {path.name: path.read_bytes() for path in ladder(runs_dir).folder.iterdir()}
    again = {path.name: path.read_bytes() for path in ladder(runs_dir).folder.iterdir()}
    assert first == again
    assert {"report.md", "table.csv", "laws.csv", "loss-vs-training-macs.png"} <= set(first)


def test_sizes_on_other_data_are_not_compared(runs_dir, make_writer) -> None:
    data = {"corpus": "words", "tokenizer": {"kind": "byte"}}
    other = make_writer(**CHANGES, size="m", data=data, models=MODELS)
    other.add("dense", "baseline", other.dense(), 0, 30.0)
    other.write(updated_at=9.0)
    with pytest.raises(ConfigError, match="sizes xs and m were run with other data"):
        ladder(runs_dir)


def test_without_any_size_there_is_no_report(tmp_path) -> None:
    with pytest.raises(RecordError, match="no size of sweep steps has been run"):
        write_ladder("steps", [*SIZES], {}, tmp_path / "reports")


def page_of(runs_dir: Path) -> Document:
    root = runs_dir.parent
    (root / "lab.toml").write_text('tracking_uri = "none"\n', encoding="utf-8")
    text = site_text(find_workspace(root, environment={}), recorded_sweeps(runs_dir))
    assert problems_of(text) == []
    return read_html(text)


def in_section(page: Document, tag: str) -> list[Element]:
    return [one for one in page.find(tag) if one.is_in("section", id="ladder-steps")]


def test_the_page_has_its_tables_with_links_to_runs(runs_dir) -> None:
    page = page_of(runs_dir)
    assert len(in_section(page, "table")) == 2
    assert len(in_section(page, "tr")) == (1 + 6) + (1 + 2)
    assert [one for one in in_section(page, "a") if "data-r" in one.attributes]
    assert "not enclosed" in page.by_id("ladder-steps").text
    assert not [one for one in in_section(page, "p") if "gap" in one.classes]


def test_gaps_are_loud_on_the_page(runs_dir) -> None:
    for record in (runs_dir / "sweeps").glob("steps-m-*"):
        shutil.rmtree(record) if record.is_dir() else record.unlink()
    notices = [one for one in in_section(page_of(runs_dir), "p") if "gap" in one.classes]
    assert "size m has not been run" in notices[0].text


def test_sizes_that_cannot_be_compared_say_so_on_the_page(runs_dir, make_writer) -> None:
    data = {"corpus": "words", "tokenizer": {"kind": "byte"}}
    other = make_writer(**CHANGES, size="m", data=data, models=MODELS)
    other.add("dense", "baseline", other.dense(), 0, 30.0)
    other.write(updated_at=9.0)
    assert "sizes xs and m were run with other data" in page_of(runs_dir).by_id("ladder-steps").text
