"""The paper's figures of attention maps, drawn from trained ListOps models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchhead_lab.config.data import ListOpsData
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.data.batches import PADDING
from switchhead_lab.data.listops import render
from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.checks import warning_lines
from switchhead_lab.reporting.commands import how_to
from switchhead_lab.reporting.figures.attention import draw_attention
from switchhead_lab.reporting.page import bulleted
from switchhead_lab.reporting.paper_tables.paper_report import FOLDER, images_of
from switchhead_lab.reporting.report import PAGE_FILE, write_folder
from switchhead_lab.reporting.report_data import ModelRow, ReportData, read_report_data
from switchhead_lab.reporting.selection import select_record
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.trained.attention_maps import attention_maps
from switchhead_lab.trained.figure_panels import DENSE, MAP_FIGURES, DrawnModel
from switchhead_lab.trained.run import TrainedRun

_SWEEP = "section4-listops"
# The longest of the first examples of the test split: short ones have little to attend to.
_N_EXAMPLES = 64
_UNDRAWN = {
    1: "it is a drawing of the architecture and shows no result",
    6: "it shows an induction head of a language model, and the lab has no search for such heads",
}


@dataclass(frozen=True)
class FigureReport:
    """A figure of the paper, as drawn.

    Attributes:
        folder: Its folder.
        files: Names of its files, the page first.
        number: Its number.
        size: Size of the sweep.
        title: Heading.
        caption: Sentences below it; warnings first.
    """

    folder: Path
    files: tuple[str, ...]
    number: int
    size: str
    title: str
    caption: tuple[str, ...]
    incomplete: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "title": self.title,
            "figure": self.number,
            "size": self.size,
            "caption": list(self.caption),
            "files": [str(self.folder / name) for name in self.files],
        }


def write_figure(workspace: Workspace, number: int, size: str = "") -> FigureReport:
    """Draw a figure of the paper to `reports/paper/`; equal records give equal bytes.

    Args:
        workspace: The workspace.
        number: Number of the figure.
        size: Size of the sweep; by default the latest that was run.

    Raises:
        RecordError: If the figure shows no result of a sweep, or a run that it needs is missing.
        WorkspaceError: If the folder cannot be written.
    """
    if number in _UNDRAWN:
        drawable = ", ".join(f"figure{known}" for known in MAP_FIGURES)
        raise RecordError(f"figure{number} cannot be drawn: {_UNDRAWN[number]}; use {drawable}")
    figure = MAP_FIGURES[number]
    data, notes = _read_sweep(workspace, number, size)
    rows = [_row_of(data, number, family) for family in figure.families]
    tokens, text = _example(TrainedRun(_record_of(rows[0]), workspace))
    drawn = [_drawn(row, tokens, workspace) for row in rows]
    panels, title = figure.panels(drawn), f"Figure {number}: {figure.title}"
    names = text.split(" ")
    caption = tuple(_caption(data, drawn, text, figure.meaning, notes))
    files = draw_attention(panels, names, title).files(f"figure{number}")
    files[PAGE_FILE] = _page(title, caption, files).encode()
    sources = [{"model": one.row.name, "run": one.run.name, "example": text} for one in drawn]
    own_size = data.record.sweep.size
    folder = workspace.reports_dir / FOLDER / f"figure{number}-{own_size}"
    written = write_folder(folder, files, [data], [], caption, sources)
    return FigureReport(folder, written, number, own_size, title, caption)


def _read_sweep(workspace: Workspace, number: int, size: str) -> tuple[ReportData, tuple[str, ...]]:
    runs_dir, sweeps_dir = workspace.runs_dir, workspace.sweeps_dir
    try:
        selection = select_record(runs_dir, _SWEEP, size, sweeps_dir)
    except RecordError as error:
        raise RecordError(
            f"figure{number} shows attention maps of trained ListOps models: {error}"
        ) from None
    return read_report_data(selection.record, runs_dir, sweeps_dir), selection.notes


def _row_of(data: ReportData, number: int, family: str) -> ModelRow:
    """Return the dense baseline, or the first SwitchHead, with a finished run."""
    rows = data.models[:1] if family == DENSE else data.models[1:]
    for row in rows:
        if row.family == family and row.finished:
            return row
    sweep = data.record.sweep
    raise RecordError(
        f"figure{number} needs a finished {family} run of {sweep_id(sweep)}; "
        f"{how_to(sweep, data.sweeps_dir, 'trains it')}"
    )


def _record_of(row: ModelRow) -> RunRecord:
    record = row.finished[0].run
    assert record is not None, "a finished run has a record"
    return record


def _example(run: TrainedRun) -> tuple[list[int], str]:
    """Return the tokens of the drawn example, and its text."""
    config = run.config
    assert isinstance(config.data, ListOpsData), "the sweep is one of ListOps"
    seq_len = config.model.seq_len
    batch = next(iter(run.dataset().evaluation_batches("test", _N_EXAMPLES, seq_len)))
    rows = [[int(token) for token in row if token != PADDING] for row in batch.inputs_BT]
    tokens = max(rows, key=len)
    return tokens, render(tokens, config.data.operators)


def _drawn(row: ModelRow, tokens: Sequence[int], workspace: Workspace) -> DrawnModel:
    run = TrainedRun(_record_of(row), workspace)
    return DrawnModel(row, run, attention_maps(run.model(), tokens))


def _caption(
    data: ReportData, drawn: Sequence[DrawnModel], text: str, meaning: str, notes: Sequence[str]
) -> Iterator[str]:
    yield from warning_lines(data)
    yield from notes
    yield meaning
    yield f"Example: {text}, the longest of the first {_N_EXAMPLES} of the test split."
    quality = data.quality
    for one in drawn:
        test = one.row.statistics(quality.test).text(quality.test.decimals)
        yield (
            f"{one.label}: run {one.run.name} (seed {one.run.config.seed}), last checkpoint; test "
            f"{quality.metric.heading} over its seeds {test}."
        )
    yield (
        f"Sweep {sweep_id(data.record.sweep)}. The paper draws its own models, example and layer; "
        "this figure shows the same quantities of ours."
    )


def _page(title: str, caption: Sequence[str], files: Mapping[str, bytes]) -> str:
    parts = [f"# {title}\n", *images_of(files), bulleted(caption)]
    return "\n".join(parts)
