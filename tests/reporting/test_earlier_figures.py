"""Figures are drawn again only if they would show something else."""

import json
import subprocess
import sys

import pytest

from switchhead_lab.reporting.earlier_figures import figure_identity
from switchhead_lab.reporting.figures import tradeoff
from switchhead_lab.reporting.report import Report, write_report
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.reporting.tradeoff import Point

NAME = "perplexity-vs-model-macs"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the horizontal axes of figures that are drawn."""
    labels: list[str] = []
    draw = tradeoff.draw_tradeoff

    def observed(points, **texts):
        labels.append(texts["cost_label"])
        return draw(points, **texts)

    monkeypatch.setattr(tradeoff, "draw_tradeoff", observed)
    return labels


def report_of(writer) -> Report:
    reports = writer.runs_dir.parent / "reports"
    return write_report(Selection(writer.write(), ()), writer.runs_dir, reports)


def contents_of(report: Report) -> dict[str, bytes]:
    return {name: (report.folder / name).read_bytes() for name in report.files}


def test_unchanged_figures_are_kept_byte_for_byte(complete, drawn) -> None:
    first = contents_of(report_of(complete))
    assert len(drawn) == 3
    assert contents_of(report_of(complete)) == first
    assert len(drawn) == 3


def test_unchanged_files_are_not_written_again(complete) -> None:
    folder = report_of(complete).folder
    before = {path: path.stat().st_ino for path in folder.iterdir()}
    (folder / "table.md").write_text("edited")
    report_of(complete)
    after = {path: path.stat().st_ino for path in folder.iterdir()}
    assert [path.name for path in after if after[path] != before[path]] == ["table.md"]
    assert "edited" not in (folder / "table.md").read_text()


def test_reports_without_new_figures_do_not_load_matplotlib() -> None:
    program = (
        "import sys, switchhead_lab.reporting.all_sweeps\n"
        "import switchhead_lab.reporting.paper_tables.paper_report\n"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_changed_result_is_drawn(complete, drawn) -> None:
    report_of(complete)
    path = next(complete.runs_dir.glob("*dense-h2*")) / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"validation_perplexity": 38.0}))
    report_of(complete)
    assert len(drawn) == 6


@pytest.mark.parametrize("text", ["", "[]", '{"figures": 3}', json.dumps({"figures": {NAME: "x"}})])
def test_a_damaged_provenance_is_no_reason_to_fail(complete, drawn, text: str) -> None:
    folder = report_of(complete).folder
    (folder / "provenance.json").write_text(text)
    report_of(complete)
    assert len(drawn) == 6


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_damaged_or_missing_figure_is_drawn_again(complete, drawn, suffix: str) -> None:
    first = report_of(complete)
    before = contents_of(first)
    path = first.folder / f"{NAME}.{suffix}"
    path.write_bytes(b"damaged")
    assert contents_of(report_of(complete)) == before
    path.unlink()
    assert contents_of(report_of(complete)) == before
    assert len(drawn) == 5


def test_points_texts_and_code_are_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    point = Point("a", "declared", "dense", 2e6, float("inf"))
    known = figure_identity([point], "title", "x")
    assert figure_identity([point], "title", "x") == known
    assert figure_identity([point], "title", "y") != known
    assert figure_identity([], "title", "x") != known
    monkeypatch.setattr("switchhead_lab.reporting.earlier_figures._code", lambda: ("other",))
    assert figure_identity([point], "title", "x") != known
