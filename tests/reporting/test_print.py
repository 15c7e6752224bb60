"""Tables for a paper fit its page, and their captions stay short."""

import re
import subprocess
from pathlib import Path

import latex_structure

from switchhead_lab.reporting.caption import loud_words
from switchhead_lab.reporting.contents import DEFAULT_AXES
from switchhead_lab.reporting.print_width import (
    COLUMN_GAP_PT,
    TEXT_WIDTH_PT,
    heading_lines,
    text_width,
)
from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.selection import Selection


def _write(writer, columns=""):
    reports_dir = writer.runs_dir.parent / "reports"
    selection = Selection(writer.write(), ())
    return write_report(selection, writer.runs_dir, reports_dir, DEFAULT_AXES, columns)


def _tabular(report) -> str:
    text = (report.folder / "table.tex").read_text(encoding="utf-8")
    latex_structure.check_table(text)
    return text[text.index(r"\begin{tabular}") : text.index(r"\end{table*}")]


def _rows(report) -> list[list[str]]:
    lines = [line for line in _tabular(report).splitlines() if line.endswith(r"\\")]
    plain = [line.removesuffix(r"\\").replace(r"\_", "_").replace(r"\%", "%") for line in lines]
    plain = [line.replace(r"$\pm$", "±").replace(r"$\times$", "×") for line in plain]  # noqa: RUF001
    return [[cell.strip() for cell in line.split("&")] for line in plain]


def test_the_default_table_fits_a_page_of_the_article_class(complete) -> None:
    columns = list(zip(*_rows(_write(complete)), strict=True))
    width = sum(max(map(text_width, column)) + COLUMN_GAP_PT for column in columns)
    assert width <= TEXT_WIDTH_PT
    assert len(columns) >= 6


def _measured_pt(tabular: str, folder: Path) -> float:
    """Return the width of a table as LaTeX sets it."""
    document = [
        *(r"\documentclass{article}", r"\usepackage{booktabs}", r"\begin{document}\small"),
        *(r"\setlength{\tabcolsep}{4pt}\setbox0=\hbox{", tabular.strip(), "}"),
        r"\typeout{WIDTH=\the\wd0}x\end{document}",
    ]
    (folder / "width.tex").write_text("\n".join(document), encoding="utf-8")
    words = [latex_structure.ENGINES[0], "-interaction=nonstopmode", "-halt-on-error", "width.tex"]
    done = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)
    return float(re.search(r"WIDTH=([\d.]+)pt", done.stdout)[1])


@latex_structure.needs_latex
def test_latex_sets_it_within_the_page(complete, tmp_path) -> None:
    width = _measured_pt(_tabular(_write(complete)), tmp_path)
    assert 0.6 * TEXT_WIDTH_PT < width <= TEXT_WIDTH_PT


def test_the_caption_names_only_what_the_table_has(complete) -> None:
    text = (_write(complete).folder / "table.tex").read_text(encoding="utf-8")
    (caption,) = re.findall(r"\\caption\{(.*)\}", text)
    assert "attention MACs" in caption
    assert "published convention" in caption
    assert "time of a step" not in caption


def test_a_caption_counts_warnings_and_leaves_them_to_the_notes() -> None:
    gap = "INCOMPLETE: dense has 2 of 3 seeds."
    assert loud_words([gap, "Note: x."]) == f"{gap} "
    assert loud_words([gap] * 3) == "INCOMPLETE: 3 gaps; see the notes. "
    assert loud_words(["WARNING: a long sentence.", "WARNING: another."]) == (
        "WARNING: 2 warnings; see the notes. "
    )


def test_all_columns_have_names_of_their_own(complete) -> None:
    report = _write(complete, "all")
    columns = report.table.printed_columns()
    for names in (
        [column.heading for column in columns],
        [" ".join(heading_lines(column)) for column in columns],
    ):
        assert len(set(names)) == len(names)
