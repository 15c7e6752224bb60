"""Writes the report on a table of the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchhead_lab.reporting.caption import LOUD, loud_words
from switchhead_lab.reporting.page import bulleted
from switchhead_lab.reporting.paper_tables.comparison_report import read_comparison
from switchhead_lab.reporting.paper_tables.steps import NUMBER as TABLE_OF_STEPS
from switchhead_lab.reporting.paper_tables.steps import read_steps
from switchhead_lab.reporting.paper_tables.view import PaperTable
from switchhead_lab.reporting.paper_tables.widths import NUMBER as TABLE_OF_WIDTHS
from switchhead_lab.reporting.paper_tables.widths import read_widths
from switchhead_lab.reporting.report import PAGE_FILE, write_folder
from switchhead_lab.reporting.report_data import ReportData
from switchhead_lab.reporting.tables import notes_to_latex, to_csv, to_latex, to_markdown

FOLDER = "paper"
"""Folder of the paper's tables and figures below that of all reports."""
_WARNING = LOUD[1]


@dataclass(frozen=True)
class PaperReport:
    """A report on a table of the paper, as written.

    Attributes:
        folder: Its folder.
        files: Names of its files, the page first.
        table: The table.
    """

    folder: Path
    files: tuple[str, ...]
    table: PaperTable

    @property
    def caption(self) -> Sequence[str]:
        """Sentences below it; gaps and warnings first."""
        return self.table.caption

    @property
    def incomplete(self) -> tuple[str, ...]:
        """What is missing, one sentence each."""
        return self.table.incomplete

    def as_data(self) -> dict[str, Any]:
        """Return the report as plain data, numbers at full precision."""
        return {
            "title": self.table.title,
            "table": self.table.number,
            "size": self.table.size,
            "incomplete": list(self.incomplete),
            "caption": list(self.table.caption),
            "rows": self.table.grid.records(),
            "files": [str(self.folder / name) for name in self.files],
        }


def write_paper_table(
    number: int, sweeps_dir: Path, runs_dir: Path, reports_dir: Path, size: str = ""
) -> PaperReport:
    """Write the report on a table to `reports/paper/`; equal records give equal bytes.

    Args:
        number: Number of the table, from 1 to 9.
        sweeps_dir: Folder of sweep files.
        runs_dir: Folder of all runs.
        reports_dir: Folder of all reports.
        size: Size of the sweeps; by default the latest that was run.

    Raises:
        ConfigError: If no sweep of the table has the size.
        WorkspaceError: If the folder cannot be written.
    """
    table = read_paper_table(number, sweeps_dir, runs_dir, reports_dir, size)
    files = _contents(table)
    folder = reports_dir / FOLDER / table.name
    names = write_folder(folder, files, table.sweeps, [table.grid], table.caption, table.sources)
    return PaperReport(folder, names, table)


def read_paper_table(
    number: int,
    sweeps_dir: Path,
    runs_dir: Path,
    reports_dir: Path,
    size: str = "",
    known: Mapping[str, ReportData] | None = None,
) -> PaperTable:
    """Return a table of the paper beside ours.

    For the arguments see `write_paper_table`; `known` has sweeps that were read before, by id.
    """
    if number == TABLE_OF_WIDTHS:
        return read_widths()
    if number == TABLE_OF_STEPS:
        return read_steps(sweeps_dir, reports_dir, size)
    return read_comparison(number, sweeps_dir, runs_dir, size, known)


def _contents(table: PaperTable) -> dict[str, bytes]:
    """Return the contents of all files except the provenance, by name."""
    figures = table.draw()
    main = table.views[0].of(table.grid)
    warnings = loud_words([line for line in table.caption if line.startswith(_WARNING)])
    caption = " ".join(filter(None, (table.latex_line, f"{warnings}{table.title}.")))
    texts = {
        PAGE_FILE: _page(table, images_of(figures)),
        "table.tex": to_latex(main, caption, f"paper-{table.name}"),
        "table-notes.tex": notes_to_latex(table.caption),
        "table.csv": to_csv(table.grid),
        **{
            f"{view.name}.md": f"# {table.title}\n\n{to_markdown(view.of(table.grid))}\n"
            f"{bulleted(table.caption)}"
            for view in table.views
        },
    }
    return {**{name: text.encode() for name, text in texts.items()}, **figures}


def _page(table: PaperTable, images: Sequence[str]) -> str:
    parts = [f"# {table.title}\n", bulleted(table.caption)]
    for view in table.views:
        parts += [f"## {view.heading}\n", to_markdown(view.of(table.grid))]
    if images:
        parts += ["## Figure\n", *images]
    parts += [
        "## Files\n",
        "`table.csv` holds every column at full precision, `table.tex` the first table for a paper "
        "and `table-notes.tex` its notes, `provenance.json` the runs behind every cell and the "
        "hash of every file.\n",
    ]
    return "\n".join(parts)


def images_of(files: Mapping[str, bytes]) -> Sequence[str]:
    """Return Markdown that shows the figures among files."""
    names = [name.removesuffix(".png") for name in files if name.endswith(".png")]
    return [f"![{name.replace('-', ' ')}]({name}.png)\n" for name in names]
