"""Tables as Markdown, LaTeX and CSV; the one file that imports pandas."""

from collections.abc import Sequence

import pandas as pd

from switchhead_lab.reporting.grids import TIMES, Grid
from switchhead_lab.reporting.print_width import heading_lines
from switchhead_lab.reporting.statistics import MISSING

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    TIMES: r"$\times$",
    MISSING: "--",
}


def escape_latex(text: str) -> str:
    """Return text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(character, character) for character in text)


def to_markdown(grid: Grid) -> str:
    """Return a table as GitHub Markdown."""
    alignment = ["left" if grid.columns[number].is_text else "right" for number in grid.printed]
    cells = [[cell.text.replace("|", r"\|") for cell in row] for row in grid.cells()]
    # Strings only, so that pandas and tabulate neither parse, round nor realign them.
    table = pd.DataFrame(cells, columns=grid.headings(), dtype=object)
    text = table.to_markdown(index=False, disable_numparse=True, colalign=alignment)
    return f"{text}\n"


def to_csv(grid: Grid) -> str:
    """Return the numbers of a table as CSV, at full precision; missing values are empty fields."""
    return pd.DataFrame(grid.records(), dtype=object).to_csv(index=False, lineterminator="\n")


def to_latex(grid: Grid, caption: str, label: str) -> str:
    """Return a table as a LaTeX float, which needs the package booktabs.

    Headings and cells are the short ones.

    Args:
        grid: The table.
        caption: Caption.
        label: Name for cross-references, without the prefix "tab:".
    """
    cells = [[escape_latex(cell.narrow) for cell in row] for row in grid.cells()]
    *above, headings = _heading_rows(grid)
    alignment = "".join("l" if column.is_text else "r" for column in grid.printed_columns())
    styler = pd.DataFrame(cells, columns=headings, dtype=object).style.hide(axis="index")
    tabular = styler.to_latex(hrules=True, column_format=alignment)
    upper = "".join(f"{' & '.join(row)} \\\\\n" for row in above)
    tabular = tabular.replace("\\toprule\n", f"\\toprule\n{upper}", 1)
    lines = [
        "% needs \\usepackage{booktabs}; the notes are in table-notes.tex",
        r"\begin{table*}",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\label{{tab:{label}}}",
        tabular.rstrip(),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _heading_rows(grid: Grid) -> list[list[str]]:
    """Return the escaped lines of the headings, aligned at the last one."""
    lines = [heading_lines(column) for column in grid.printed_columns()]
    n_lines = max(map(len, lines))
    padded = [[""] * (n_lines - len(one)) + [escape_latex(text) for text in one] for one in lines]
    return [[one[number] for one in padded] for number in range(n_lines)]


def notes_to_latex(notes: Sequence[str]) -> str:
    """Return sentences as a LaTeX list."""
    items = (rf"  \item {escape_latex(note)}" for note in notes)
    return "\n".join([r"\begin{itemize}", *items, r"\end{itemize}"]) + "\n"
