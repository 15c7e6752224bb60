"""Quality is compared with the baseline over the seeds that both models have."""

import pytest

from switchhead_lab.reporting.caption import caption_lines
from switchhead_lab.reporting.contents import read_contents
from switchhead_lab.reporting.grids import quality_cell
from switchhead_lab.reporting.paired import paired
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.statistics import MISSING


def _data(writer):
    return read_report_data(writer.record(), writer.runs_dir)


def _row(data, name):
    return next(row for row in data.models if row.name == name)


def _cell(data, name, split="validation"):
    return quality_cell(_row(data, name), data.baseline, data.quality, split)


def test_a_ratio_is_over_the_seeds_that_both_models_have(complete):
    data = _data(complete)
    cell = _cell(data, "switchhead-declared")
    assert cell.value == pytest.approx(35.25 / 35.0)
    assert cell.value != pytest.approx(35.25 / 35.5)  # which is the ratio of the printed means
    assert cell.text == "1.007× (n=1)"  # noqa: RUF001
    seeds = {run.member.run_name: run.member.seed for run in data.runs}
    assert [seeds[name] for name in cell.runs] == [0, 0]
    test = _cell(data, "switchhead-declared", "test")
    assert test.value == pytest.approx(36.25 / 36.0)


def test_equal_seeds_are_not_marked(complete):
    cell = _cell(_data(complete), "dense-h2")
    assert cell.value == pytest.approx((37.0 + 37.1 + 37.5) / (35.0 + 35.5 + 36.0))
    assert "n=" not in cell.text


def test_narrow_cells_give_n_where_the_line_does_not(complete):
    data = _data(complete)
    assert "n=" not in _cell(data, "switchhead-declared").narrow  # the line says n = 1
    complete.forget("dense", 2)
    cell = _cell(_data(complete), "dense-h2")
    assert cell.value == pytest.approx((37.0 + 37.1) / (35.0 + 35.5))
    assert cell.narrow.endswith(" (n=2)")  # of three
    assert cell.text.endswith(" (n=2) [dense 2 of 3 seeds]")


def test_without_a_common_seed_there_is_no_ratio(complete):
    complete.forget("dense", 0)
    data = _data(complete)
    assert _cell(data, "switchhead-declared").text == MISSING
    assert paired(_row(data, "switchhead-declared"), data.baseline).n == 0
    (line,) = [line for line in caption_lines(data) if "no seed in common" in line]
    assert line == (
        "Note: switchhead-declared (seeds 0) has no seed in common with dense (seeds 1, 2), so "
        "their results are not compared."
    )


def test_every_table_has_the_same_ratio(complete):
    data = _data(complete)
    page = read_contents(data, complete.runs_dir.parent / "reports").page
    key = data.quality.relative_key
    for grid in (page.table, page.paper):
        (row,) = [row for row in grid.rows if row[0].value == "switchhead-declared"]
        assert grid.cell(row, key).value == pytest.approx(35.25 / 35.0)
    assert any("Ratios of results compare the same seeds" in line for line in page.caption)
