import csv
import io
import re

import latex_structure
import pytest

from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.tables import (
    escape_latex,
    notes_to_latex,
    to_csv,
    to_latex,
    to_markdown,
)

COLUMNS = (
    Column("name", "a_name", is_text=True),
    Column("value", "50% & more", is_mean=True),
    Column("hidden", ""),
)


def _grid(*cells):
    return Grid("table", COLUMNS, (cells,))


GRID = _grid(
    Cell("x|y_{z}", "x|y_{z}"), Cell("1.50 ± 0.10 (n=2)", 1.5, 1 / 3, (1.0, 2.0)), Cell("", 7)
)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a_b", r"a\_b"),
        ("100%", r"100\%"),
        ("R&D $5 #1", r"R\&D \$5 \#1"),
        ("{x}", r"\{x\}"),
        ("\\cmd", r"\textbackslash{}cmd"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("1 ± 2", r"1 $\pm$ 2"),
        ("\N{EN DASH}", "--"),
        ("2\N{MULTIPLICATION SIGN}", r"2$\times$"),
    ],
)
def test_latex_escapes(text, latex):
    assert escape_latex(text) == latex


def test_latex_table_has_rules_and_escaped_cells():
    text = to_latex(GRID, "100% of it. a_b.", "mini-tiny")
    latex_structure.check_table(text)
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}" in text
    assert r"x|y\_\{z\} & 1.50 $\pm$ 0.10 (n=2) \\" in text
    assert r"a\_name & 50\% \& more \\" in text
    assert "resizebox" not in text
    assert r"\caption{100\% of it. a\_b.}" in text
    assert r"\label{tab:mini-tiny}" in text
    assert r"\begin{tabular}{lr}" in text
    assert not re.search(r"(?<!\\)[%&#_](?!\s|\n|$)", text.split(r"\midrule")[1].split("%")[0])


def test_headings_of_latex_tables_are_short():
    columns = (Column("name", "name", is_text=True), Column("value", "a long heading", short="v"))
    text = to_latex(Grid("table", columns, ((Cell("x"), Cell("1")),)), "c", "l")
    assert r"name & v \\" in text


def test_notes_are_a_latex_list():
    assert notes_to_latex(["50% of a_b."]) == (
        "\\begin{itemize}\n  \\item 50\\% of a\\_b.\n\\end{itemize}\n"
    )


def test_only_chosen_columns_with_values_are_printed():
    columns = tuple(Column(key, key.upper()) for key in ("a", "b", "c", "d"))
    rows = ((Cell("1", 1), Cell("2", 2), Cell("-"), Cell("4", 4)),)
    grid = Grid("table", columns, rows).printing(["b", "c"])
    assert grid.headings() == ["A", "B"]
    assert list(grid.records()[0]) == ["a", "b", "c", "d"]


def test_markdown_escapes_bars_and_keeps_text():
    text = to_markdown(GRID)
    assert r"x\|y_{z}" in text
    assert "1.50 ± 0.10 (n=2)" in text
    assert "hidden" not in text


def test_markdown_does_not_reformat_numbers():
    text = to_markdown(_grid(Cell("1.500"), Cell("1.0e3"), Cell("")))
    assert "1.500" in text
    assert "1.0e3" in text


def test_csv_is_exact_and_leaves_missing_empty():
    rows = list(csv.DictReader(io.StringIO(to_csv(GRID))))
    assert rows[0]["value_mean"] == "1.5"
    assert float(rows[0]["value_std"]) == 1 / 3
    assert rows[0]["hidden"] == "7"
    empty = list(csv.DictReader(io.StringIO(to_csv(_grid(Cell("x", "x"), Cell("-"), Cell("-"))))))
    assert (empty[0]["value_mean"], empty[0]["value_std"], empty[0]["hidden"]) == ("", "", "")
