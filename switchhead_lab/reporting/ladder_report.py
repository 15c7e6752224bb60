"""Writes the report of a ladder: tables, figure, page and provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchhead_lab.config.identity import hash_of
from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.caption import loud_words
from switchhead_lab.reporting.grids import Grid
from switchhead_lab.reporting.ladder import (
    gap_lines,
    ladder_caption,
    ladder_grid,
    law_grid,
    read_ladder,
)
from switchhead_lab.reporting.page import bulleted, table_page
from switchhead_lab.reporting.report import PAGE_FILE, write_folder
from switchhead_lab.reporting.report_data import ReportData
from switchhead_lab.reporting.tables import notes_to_latex, to_csv, to_latex, to_markdown
from switchhead_lab.tracking.sweep_record import sweep_id

FIGURE = "loss-vs-training-macs"
LAWS_TITLE = "Power laws"


@dataclass(frozen=True)
class LadderReport:
    """The report of a ladder as written.

    Attributes:
        folder: Its folder.
        files: Names of its files, the page first.
        title: Heading.
        caption: Sentences of the caption.
        table: Every model at every size.
        laws: The fitted power laws.
        incomplete: Missing sizes and runs, one sentence each.
        rungs: Ids of the sweeps at its sizes.
    """

    folder: Path
    files: tuple[str, ...]
    title: str
    caption: tuple[str, ...]
    table: Grid
    laws: Grid
    incomplete: tuple[str, ...]
    rungs: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Return the report as plain data, numbers at full precision."""
        return {
            "title": self.title,
            "incomplete": list(self.incomplete),
            "caption": list(self.caption),
            "models": self.table.records(),
            "laws": self.laws.records(),
            "files": [str(self.folder / name) for name in self.files],
        }


def write_ladder(
    sweep: str, sizes: Sequence[str], found: Mapping[str, ReportData], reports_dir: Path
) -> LadderReport:
    """Write the report of a sweep over its sizes; equal records give equal bytes.

    Args:
        sweep: Recorded name of the sweep.
        sizes: Sizes of its ladder, smallest first.
        found: Data of its recorded sizes.
        reports_dir: Folder of all reports.

    Raises:
        ConfigError: If the sizes were recorded with different corpora, tokenizers or objectives.
        RecordError: If no size has been run.
        WorkspaceError: If the folder cannot be written.
    """
    # matplotlib is imported late: most reports have no ladder, and unchanged figures.
    from switchhead_lab.reporting.figures.ladder import draw_ladder

    if not found:
        raise RecordError(f"no size of sweep {sweep} has been run; see `lab sweep list`")
    ladder = read_ladder(found, sizes)
    table, laws, caption = ladder_grid(ladder), law_grid(ladder), ladder_caption(ladder)
    digest = hash_of([sweep_id(data.record.sweep) for data in ladder.sizes])[:8]
    title = f"{sweep}: loss against training compute"
    texts = {
        PAGE_FILE: _page(title, table, laws, caption),
        "table.md": table_page(title, table, caption),
        "table.csv": to_csv(table),
        "table.tex": to_latex(table, f"{loud_words(caption)}{title}.", f"{sweep}-ladder-{digest}"),
        "table-notes.tex": notes_to_latex(caption),
        "laws.csv": to_csv(laws),
    }
    files = {name: text.encode() for name, text in texts.items()}
    files |= draw_ladder(ladder).files(FIGURE)
    folder = reports_dir / f"{sweep}-ladder-{digest}"
    names = write_folder(folder, files, ladder.sizes, [table, laws], caption)
    return LadderReport(
        folder=folder,
        files=names,
        title=title,
        caption=tuple(caption),
        table=table,
        laws=laws,
        incomplete=tuple(gap_lines(ladder)),
        rungs=tuple(sweep_id(data.record.sweep) for data in ladder.sizes),
    )


def _page(title: str, table: Grid, laws: Grid, caption: Sequence[str]) -> str:
    parts = [f"# {title}\n", bulleted(caption), "## Models and sizes\n", to_markdown(table)]
    parts += [f"![loss against training MACs]({FIGURE}.png)\n"]
    parts += [f"## {LAWS_TITLE}\n", to_markdown(laws)]
    return "\n".join(parts)
