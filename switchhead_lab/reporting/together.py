"""One report of several sweeps, each relative to its own dense baseline."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from switchhead_lab.budget.cost_axes import find_axis
from switchhead_lab.config.identity import hash_of
from switchhead_lab.errors import ConfigError
from switchhead_lab.reporting.caption import fact_lines, labelled, loud_words, same_seeds
from switchhead_lab.reporting.checks import incomplete_lines, warning_lines
from switchhead_lab.reporting.cost_table import COSTS_CAPTION, cost_grid
from switchhead_lab.reporting.figure_axes import TIME, FigureAxis, cost_figure_axis
from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.model_table import chosen_keys, model_columns, model_grid, print_keys
from switchhead_lab.reporting.page import together_page
from switchhead_lab.reporting.paired import unpaired_lines
from switchhead_lab.reporting.print_width import fit_page
from switchhead_lab.reporting.report import (
    PAGE_FILE,
    Report,
    write_folder,
)
from switchhead_lab.reporting.report_data import ReportData, read_report_data
from switchhead_lab.reporting.report_figures import tradeoff_files
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.reporting.tables import notes_to_latex, to_csv, to_latex
from switchhead_lab.reporting.tradeoff import Point, tradeoff_points
from switchhead_lab.tracking.comparison import flatten
from switchhead_lab.tracking.sweep_record import OUTSIDE_ID, sweep_id

FOLDER = "together"
# What sweeps may differ in without a word: what they are called, and which models they have.
_NOT_COMPARED = {"name", "size", *OUTSIDE_ID}


def write_together(
    selections: Sequence[Selection],
    runs_dir: Path,
    reports_dir: Path,
    axes: Sequence[str],
    columns: str = "",
    *,
    sweeps_dir: Path | None = None,
) -> Report:
    """Write one report of several sweeps to `reports/together/`.

    Args:
        selections: The sweep records, at least two different ones.
        runs_dir: Folder of all runs.
        reports_dir: Folder of all reports.
        axes: Costs to draw, one figure each; see `find_axis`.
        columns: Columns to print in the main table; see `chosen_keys`.
        sweeps_dir: Folder of sweep files, for the commands that the report prints.

    Raises:
        ConfigError: If the sweeps are not comparable, or an axis or a column is unknown.
        WorkspaceError: If the folder cannot be written.
    """
    sweeps = [read_report_data(one.record, runs_dir, sweeps_dir) for one in selections]
    labels = _labels(sweeps)
    _require_comparable(sweeps, labels)
    quality = sweeps[0].quality
    table, costs = _main_table(sweeps, labels), _cost_table(sweeps, labels)
    printed = table.printing(chosen_keys(table.columns, columns, quality))
    in_print = printed if columns else fit_page(table, print_keys(quality))
    table = printed
    digest = hash_of([sweep_id(data.record.sweep) for data in sweeps])[:8]
    title = f"Sweeps side by side: {', '.join(labels)}"
    caption = list(_caption(sweeps, labels))
    drawn = _axes(axes, sweeps[0].record.sweep.convention)
    figures = {f"{quality.figure_prefix}-vs-{axis.name}": axis for axis in drawn}
    files = {
        PAGE_FILE: together_page(title, caption, table, costs, list(figures)).encode(),
        **_table_files(caption, table, costs),
        "table.tex": to_latex(
            in_print, f"{loud_words(caption)}{title}.", f"{FOLDER}-{digest}"
        ).encode(),
    }
    for name, axis in figures.items():
        files |= tradeoff_files(_points(sweeps, labels, axis), title, axis, quality, name)
    folder = reports_dir / FOLDER / f"{_folder_stem(sweeps)}-{digest}"
    names = write_folder(folder, files, sweeps, [table, costs], caption)
    return Report(
        folder=folder,
        files=names,
        title=title,
        caption=tuple(caption),
        table=table,
        costs=costs,
        paper=None,
        paper_caption="",
        quality=quality,
        paper_quality=quality,
        incomplete=tuple(_each(sweeps, labels, incomplete_lines)),
    )


def _axes(names: Sequence[str], convention: str) -> list[FigureAxis]:
    if TIME in names:
        raise ConfigError(
            f'axis "{TIME}": sweeps are timed separately, so their times are not comparable; '
            "report each by itself"
        )
    return [cost_figure_axis(find_axis(name, convention)) for name in names]


def _table_files(caption: Sequence[str], table: Grid, costs: Grid) -> dict[str, bytes]:
    """Return the tables for a paper and for further use, by file name."""
    texts = {
        "table-notes.tex": notes_to_latex(caption),
        "table.csv": to_csv(table),
        "costs.csv": to_csv(costs),
    }
    return {name: text.encode() for name, text in texts.items()}


def _labels(sweeps: Sequence[ReportData]) -> list[str]:
    """Return short, distinct names: the sweep's, with its size or id where names repeat."""
    names = [data.record.sweep.name for data in sweeps]
    sized = [f"{data.record.sweep.name} {data.record.sweep.size}" for data in sweeps]
    ids = [sweep_id(data.record.sweep) for data in sweeps]
    for labels in (names, sized):
        if len(set(labels)) == len(labels):
            return labels
    return ids


def _require_comparable(sweeps: Sequence[ReportData], labels: Sequence[str]) -> None:
    if len({sweep_id(data.record.sweep) for data in sweeps}) < max(2, len(sweeps)):
        raise ConfigError("--together: name at least two sweeps, each once; see `lab sweep list`")
    kinds = {data.record.sweep.objective.headline for data in sweeps}
    if len(kinds) > 1:
        found = ", ".join(
            f"{label}: {data.record.sweep.objective.headline.label}"
            for label, data in zip(labels, sweeps, strict=True)
        )
        raise ConfigError(f"--together: the sweeps have different metrics ({found})")


def _main_table(sweeps: Sequence[ReportData], labels: Sequence[str]) -> Grid:
    conventions = {data.record.sweep.convention for data in sweeps}
    convention = conventions.pop() if len(conventions) == 1 else "each sweep's convention"
    columns = model_columns("dense", sweeps[0].quality, convention)
    return _joined(labels, [model_grid(data, columns=columns) for data in sweeps])


def _cost_table(sweeps: Sequence[ReportData], labels: Sequence[str]) -> Grid:
    return _joined(labels, [cost_grid(data, dense="dense") for data in sweeps])


def _joined(labels: Sequence[str], grids: Sequence[Grid]) -> Grid:
    """Put tables below each other; the first column names sweep and model."""
    rows = []
    for label, grid in zip(labels, grids, strict=True):
        for model, *cells in grid.rows:
            name = replace(model, text=f"{label}: {model.text}")
            rows.append((name, *cells, Cell(label, label)))
    columns = (*grids[0].columns, Column("sweep", "sweep", is_text=True))
    return replace(grids[0], columns=columns, rows=tuple(rows))


def _points(sweeps: Sequence[ReportData], labels: Sequence[str], axis: FigureAxis) -> list[Point]:
    """Return the models of all sweeps; a run that sweeps share is drawn once."""
    points: dict[tuple[float, float, str], Point] = {}
    for label, data in zip(labels, sweeps, strict=True):
        for point in tradeoff_points(data, axis):
            if point.kind != "candidate":
                named = replace(point, label=f"{point.label} ({label})")
                points.setdefault((point.cost, point.loss, point.label), named)
    return list(points.values())


def _caption(sweeps: Sequence[ReportData], labels: Sequence[str]) -> Iterator[str]:
    yield from _each(sweeps, labels, incomplete_lines)
    yield from _each(sweeps, labels, warning_lines)
    yield from _differences(sweeps, labels)
    yield (
        "Every row is relative to the dense baseline of its own sweep. Mean ± sample standard "
        f"deviation over n seeds; a single seed has no deviation. {same_seeds(sweeps[0].quality)}"
    )
    for label, data in zip(labels, sweeps, strict=True):
        yield from labelled(label, unpaired_lines(data.models, data.baseline))
    yield COSTS_CAPTION
    yield from _each(sweeps, labels, fact_lines)


def _each(
    sweeps: Sequence[ReportData],
    labels: Sequence[str],
    lines_of: Callable[[ReportData], Sequence[str]],
) -> Iterator[str]:
    """Yield the lines of each sweep with its label; warnings keep their first word."""
    for label, data in zip(labels, sweeps, strict=True):
        yield from labelled(label, lines_of(data))


def _differences(sweeps: Sequence[ReportData], labels: Sequence[str]) -> Iterator[str]:
    """Yield the fields in which the declarations differ."""
    dumps = [
        dict(flatten(data.record.sweep.model_dump(mode="json", exclude=_NOT_COMPARED)))
        for data in sweeps
    ]
    for field in dict.fromkeys(name for dump in dumps for name in dump):
        values = [dump.get(field) for dump in dumps]
        if any(value != values[0] for value in values):
            found = ", ".join(
                f"{'none' if value is None else value} in {label}"
                for label, value in zip(labels, values, strict=True)
            )
            yield f"The sweeps differ in {field}: {found}."


def _folder_stem(sweeps: Sequence[ReportData]) -> str:
    """Return the names of the sweeps for a folder, cut where many sweeps would be too long."""
    return "+".join(dict.fromkeys(data.record.sweep.name for data in sweeps))[:100]
