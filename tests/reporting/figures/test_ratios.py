import re

import pytest

from switchhead_lab.reporting.figures.ratios import Ratio, RatioRow, draw_ratios

pytestmark = pytest.mark.draws_figures

ROWS = [
    RatioRow("c4 47M: switchhead", "c4 47M", (Ratio(0.99, 1.01, 0.02), Ratio(0.4, 0.5))),
    RatioRow("c4 47M: not run", "c4 47M", (Ratio(1.04, None), Ratio(1.0, None))),
    RatioRow("enwik8: not printed", "enwik8", (Ratio(None, 0.98), Ratio(None, None))),
]
PANELS = ["perplexity / dense", "MACs / dense"]


@pytest.mark.thorough
def test_equal_rows_give_equal_bytes_in_three_formats():
    first = draw_ratios(ROWS, PANELS, "title")
    assert list(first.files("ratios")) == ["ratios.png", "ratios.svg", "ratios.pdf"]
    assert draw_ratios(ROWS, PANELS, "title") == first
    assert first.by_format["png"].startswith(b"\x89PNG")
    assert first.by_format["pdf"].startswith(b"%PDF")
    assert not re.search(rb"<dc:date>|\b20\d\d-\d\d-\d\d", first.by_format["svg"])
    assert b"CreationDate" not in first.by_format["pdf"]


def test_a_missing_result_changes_the_figure():
    full = [*ROWS[:1], RatioRow(ROWS[1].label, "c4 47M", (Ratio(1.04, 1.0), Ratio(1.0, 1.0)))]
    drawn = (draw_ratios(rows, PANELS, "title") for rows in (full, ROWS[:2]))
    first, second = (files.by_format["svg"] for files in drawn)
    assert first != second


def test_names_and_panels_are_written():
    svg = draw_ratios(ROWS, PANELS, "title").by_format["svg"].decode()
    for text in (*PANELS, "c4 47M: not run", "paper", "ours"):
        assert f"<!-- {text} -->" in svg
