"""Writes the report of a sweep: tables, figures, a page and their provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from switchhead_lab.reporting.caption import latex_caption
from switchhead_lab.reporting.checks import incomplete_lines
from switchhead_lab.reporting.contents import (
    DEFAULT_AXES,
    Contents,
    read_contents,
)
from switchhead_lab.reporting.cost_table import COSTS_CAPTION
from switchhead_lab.reporting.earlier_figures import EarlierFigures
from switchhead_lab.reporting.figure_layout import FORMATS
from switchhead_lab.reporting.grids import Grid
from switchhead_lab.reporting.page import Page, report_page, table_page
from switchhead_lab.reporting.quality import Quality
from switchhead_lab.reporting.report_data import ReportData, read_report_data
from switchhead_lab.reporting.report_figures import CURVES, EXPERT_USE, SEARCH, draw_figures
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.reporting.sidecar import provenance_json
from switchhead_lab.reporting.tables import notes_to_latex, to_csv, to_latex
from switchhead_lab.reporting.zero_shot import CAPTION as ZERO_SHOT_CAPTION
from switchhead_lab.tracking.atomic import make_directory, update_bytes
from switchhead_lab.tracking.sweep_record import sweep_id

PAGE_FILE = "report.md"
PROVENANCE_FILE = "provenance.json"
_FIGURES = ("*-vs-*", CURVES, f"{EXPERT_USE}-*", f"{SEARCH}-*")
# Patterns of optional files: stale ones of an earlier report would mislead.
_OPTIONAL_FILES = (
    *("paper.md", "paper.csv", "candidates.md", "candidates.csv", "claims.md", "claims.csv"),
    *("zero-shot.md", "zero-shot.csv", "pocket-tasks.md"),
    *("resources*.md", "resources*.csv"),
    *(f"{name}.{end}" for name in _FIGURES for end in FORMATS),
)


@dataclass(frozen=True)
class Report:
    """A report as written.

    Attributes:
        folder: Its folder.
        files: Names of its files, the page first.
        title: Heading.
        caption: Sentences of the caption.
        table: The main table.
        costs: Costs by every convention.
        paper: The paper's figures beside ours; None if the sweep reproduces no table.
        paper_caption: Sentence above it.
        quality: The quality metric to report.
        paper_quality: The metric to compare with the paper's.
        incomplete: The missing runs and evaluations of the sweep, one sentence each.
        claims: The claims with their verdicts; None if there are none.
        claims_caption: Sentences below them.
    """

    folder: Path
    files: tuple[str, ...]
    title: str
    caption: tuple[str, ...]
    table: Grid
    costs: Grid
    paper: Grid | None
    paper_caption: str
    quality: Quality
    paper_quality: Quality
    incomplete: tuple[str, ...]
    claims: Grid | None = None
    claims_caption: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Return the report as plain data, numbers at full precision."""
        return {
            "title": self.title,
            "incomplete": list(self.incomplete),
            "caption": list(self.caption),
            "claims": self.claims.records() if self.claims is not None else None,
            "models": self.table.records(),
            "costs": self.costs.records(),
            "paper": self.paper.records() if self.paper is not None else None,
            "files": [str(self.folder / name) for name in self.files],
        }


def write_report(
    selection: Selection,
    runs_dir: Path,
    reports_dir: Path,
    axes: Sequence[str] = DEFAULT_AXES,
    columns: str = "",
    *,
    sweeps_dir: Path | None = None,
) -> Report:
    """Write the report of a sweep below `reports_dir`; equal records give equal bytes.

    Args:
        selection: The sweep record.
        runs_dir: Folder of all runs.
        reports_dir: Folder of all reports.
        axes: Costs to draw, one figure each; see `find_figure_axes`.
        columns: Columns to print in the main table; see `chosen_keys`.
        sweeps_dir: Folder of sweep files, for the commands that the report prints.

    Raises:
        ConfigError: If the sweep names rows that the paper does not have, or an axis or a column
            is unknown.
        WorkspaceError: If the folder cannot be written.
    """
    data = read_report_data(selection.record, runs_dir, sweeps_dir)
    return write_contents(
        read_contents(data, reports_dir, selection.notes, axes, columns), reports_dir
    )


def write_contents(contents: Contents, reports_dir: Path) -> Report:
    """Write what a sweep's report says below `reports_dir`; equal records give equal bytes.

    Raises:
        WorkspaceError: If the folder cannot be written.
    """
    data, page = contents.data, contents.page
    folder = reports_dir / sweep_id(data.record.sweep)
    drawn = draw_figures(contents, EarlierFigures(folder, PROVENANCE_FILE))
    page = replace(page, figures=tuple(one.name for one in drawn))
    files = _texts(data, page) | {k: v for one in drawn for k, v in one.files.items()}
    names = write_folder(
        folder,
        files,
        [data],
        page.grids,
        page.caption,
        sources=[one.source for one in page.resources],
        figures={one.name: one.identity for one in drawn},
    )
    return Report(
        folder=folder,
        files=names,
        title=page.title,
        caption=tuple(page.caption),
        table=page.table,
        costs=page.costs,
        paper=page.paper,
        paper_caption=page.paper_caption,
        quality=page.quality,
        paper_quality=page.paper_quality,
        incomplete=tuple(incomplete_lines(data)),
        claims=page.claims,
        claims_caption=tuple(page.claims_caption),
    )


def _texts(data: ReportData, page: Page) -> dict[str, bytes]:
    """Return the contents of all files except figures and provenance, by name."""
    sweep = data.record.sweep
    texts = {
        PAGE_FILE: report_page(page),
        "table.md": table_page(page.title, page.table, page.caption),
        "table.tex": to_latex(
            page.in_print, latex_caption(data, page.caption, page.in_print), sweep_id(sweep)
        ),
        "table-notes.tex": notes_to_latex(page.caption),
        "table.csv": to_csv(page.table),
        "costs.md": table_page(page.costs_title, page.costs, [COSTS_CAPTION]),
        "costs.csv": to_csv(page.costs),
    }
    if page.claims is not None:
        texts["claims.md"] = table_page(page.claims_title, page.claims, page.claims_caption)
        texts["claims.csv"] = to_csv(page.claims)
    if page.paper is not None:
        texts["paper.md"] = table_page(page.paper_title, page.paper, [page.paper_caption])
        texts["paper.csv"] = to_csv(page.paper)
    for resources in page.resources:
        grid, caption = resources.grid, resources.caption
        texts[f"{resources.name}.md"] = table_page(page.resources_title, grid, [caption])
        texts[f"{resources.name}.csv"] = to_csv(grid)
    if page.zero_shot is not None:
        about = [ZERO_SHOT_CAPTION]
        texts["zero-shot.md"] = table_page(page.zero_shot_title, page.zero_shot, about)
        texts["zero-shot.csv"] = to_csv(page.zero_shot)
    if page.candidates is not None:
        texts["candidates.md"] = table_page(page.candidates_title, page.candidates, page.caption)
        texts["candidates.csv"] = to_csv(page.candidates)
    return {name: text.encode() for name, text in texts.items()}


def write_folder(
    folder: Path,
    files: Mapping[str, bytes],
    sweeps: Sequence[ReportData],
    grids: Sequence[Grid],
    caption: Sequence[str],
    sources: Sequence[Mapping[str, str]] = (),
    figures: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Write the files of a report with their provenance, and remove its outdated ones.

    Args:
        folder: The report's folder; created if missing.
        files: Its files by name.
        sweeps: The data behind it.
        grids: Its tables.
        caption: Sentences of the caption.
        sources: Other files that numbers come from, each with its hash.
        figures: Identities of what figures show, by name.

    Returns:
        The names of the files, the page first.

    Raises:
        WorkspaceError: If the folder cannot be written.
    """
    provenance = provenance_json(sweeps, grids, files, caption, sources, figures)
    files = {**files, PROVENANCE_FILE: provenance.encode()}
    make_directory(folder)
    for path in (path for pattern in _OPTIONAL_FILES for path in folder.glob(pattern)):
        if path.name not in files:
            path.unlink()
    for name, data in files.items():
        update_bytes(folder / name, data)
    return tuple(sorted(files, key=lambda name: (name != PAGE_FILE, name == PROVENANCE_FILE, name)))
