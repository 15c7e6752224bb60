"""The section of one sweep: its tables, figures, gaps and runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from switchhead_lab.budget.cost_axes import (
    ATTENTION_MACS,
    ATTENTION_MEMORY,
    MODEL_MACS,
    PARAMETERS,
    axis_of,
)
from switchhead_lab.budget.residual import describe_rule
from switchhead_lab.config.cost_names import CONVENTIONS
from switchhead_lab.reporting.caption import LOUD, fact_lines, reading_lines
from switchhead_lab.reporting.contents import Contents
from switchhead_lab.reporting.cost_table import COSTS_CAPTION
from switchhead_lab.reporting.figure_axes import cost_figure_axis
from switchhead_lab.reporting.figure_layout import (
    frame_of,
    front_name,
    has_front,
    legend_of,
    looks_of,
)
from switchhead_lab.reporting.grids import Grid, counted_names
from switchhead_lab.reporting.html.curves import curve_figures, curve_legend
from switchhead_lab.reporting.html.figures import draw_figure, marker
from switchhead_lab.reporting.html.runs import SweepRuns
from switchhead_lab.reporting.html.section import Badge, Section
from switchhead_lab.reporting.html.tables import (
    ColumnOf,
    Heading,
    HtmlTable,
    heading_of,
    html_table,
    plain_columns,
)
from switchhead_lab.reporting.html.verdicts import Card
from switchhead_lab.reporting.tradeoff import tradeoff_points
from switchhead_lab.reporting.zero_shot import CAPTION as ZERO_SHOT_CAPTION
from switchhead_lab.tracking.sweep_record import sweep_id

_FIGURES = (ATTENTION_MACS, MODEL_MACS, ATTENTION_MEMORY)
# Columns of the main table by the cost whose conventions replace them.
_BY_CONVENTION = {
    "relative_macs": ("attention_macs", "attention MACs"),
    "relative_model_macs": ("model_macs", "model MACs"),
    "relative_memory_floats": ("attention_memory", "attention memory"),
}


@dataclass(frozen=True)
class FigureOf:
    """A figure of one cost by one convention.

    Attributes:
        title: The cost.
        convention: The convention; empty for a cost without conventions.
        classes: Classes by which the page shows it or not; empty for always.
        svg: The drawing.
    """

    title: str
    convention: str
    classes: str
    svg: Markup


@dataclass(frozen=True)
class LegendEntry:
    """A shape with its name."""

    shape: Markup
    name: str


def sweep_section(
    contents: Contents,
    runs: SweepRuns,
    cards: tuple[Card, ...],
    anchor_of_sweep: str,
    name: str,
) -> Section:
    """Return the section of a sweep.

    Args:
        contents: What its report says.
        runs: Its runs.
        cards: Its claims.
        anchor_of_sweep: Its anchor.
        name: Its name, with what tells it from others of the same name and size.
    """
    data, page = contents.data, contents.page
    sweep, curves = data.record.sweep, contents.curves
    values = {
        "summary": sweep.summary,
        "folder": sweep_id(sweep),
        "convention": sweep.convention,
        **_sentences(contents, runs),
        "cards": cards,
        "comparison": _comparison(contents, runs),
        "figures": _figures(contents, runs),
        "legend": _legend(contents),
        "curves": curve_figures(curves),
        "curve_legend": curve_legend(curves),
        "costs": html_table("Costs by every convention", _cost_columns(contents), runs),
        "costs_caption": COSTS_CAPTION,
        "paper": _table(page.paper_title, page.paper, runs),
        "paper_caption": page.paper_caption,
        "resources": [
            (one.caption, _table(page.resources_title, one.grid, runs)) for one in page.resources
        ],
        "zero_shot": _table(page.zero_shot_title, page.zero_shot, runs),
        "zero_shot_caption": ZERO_SHOT_CAPTION,
        "candidates": _table(page.candidates_title, page.candidates, runs),
        "runs": runs,
    }
    n_done = sum(len(row.finished) for row in data.models)
    n_declared = sum(len(row.seeds) for row in data.models)
    return Section(
        id=anchor_of_sweep,
        title=name,
        template="sweep.html.j2",
        values=values,
        note=f"size {sweep.size}, {n_done} of {n_declared} runs",
        badges=tuple(card.badge for card in cards)
        or ((Badge("gap", "runs missing"),) if n_done < n_declared else ()),
    )


def _sentences(contents: Contents, runs: SweepRuns) -> dict[str, Any]:
    """Return the caption: gaps and warnings, facts, and how to read the tables."""
    data = contents.data
    # The first fact repeats the heading.
    facts, reading = fact_lines(data), reading_lines(data, "")
    caption = [runs.portable(line) for line in contents.page.caption]
    loud = [line for line in caption if line.startswith(LOUD)]
    known = {*loud, *facts, *reading}
    gaps = [line for line in loud if line.startswith(LOUD[0])]
    return {
        "rule": describe_rule(data.record.sweep.matching, data.record.sweep.convention),
        "gaps": gaps,
        "warnings": [line for line in loud if line not in gaps],
        "command": runs.command if gaps else "",
        "facts": facts[1:],
        "reading": [*reading, *(line for line in caption if line not in known)],
    }


def _table(label: str, grid: Grid | None, runs: SweepRuns) -> HtmlTable | None:
    return None if grid is None else html_table(label, plain_columns(grid), runs)


def _comparison(contents: Contents, runs: SweepRuns) -> HtmlTable:
    """Return the main table, with its costs by every convention."""
    data, page = contents.data, contents.page
    quality, own = data.quality, data.record.sweep.convention
    columns: list[ColumnOf] = []
    for column in page.table.printed_columns():
        if column.key in _BY_CONVENTION:
            key, name = _BY_CONVENTION[column.key]
            columns += _cost_by_convention(page.costs, key, name, data.baseline.name, own)
        else:
            columns.append(ColumnOf(heading_of(column), page.table, column.key, column.is_mean))
    measured = {
        *("n_seeds", quality.validation.key, quality.relative_key),
        *(quality.test.key, quality.relative_key_of("test")),
    }
    gaps = [number for number, row in enumerate(data.models) if not row.is_complete]
    return html_table("Every model beside the dense baseline", columns, runs, gaps, measured)


def _cost_columns(contents: Contents) -> list[ColumnOf]:
    """Return the columns of the table of costs."""
    costs, data = contents.page.costs, contents.data
    shown = ("model", "family", "matched")
    columns = [one for one in plain_columns(costs) if one.key in shown]
    for key, name in _BY_CONVENTION.values():
        own = data.record.sweep.convention
        columns += _cost_by_convention(costs, key, name, data.baseline.name, own)
    last = ("active_parameters", "relative_active_parameters")
    return [*columns, *(one for one in plain_columns(costs) if one.key in last)]


def _cost_by_convention(
    costs: Grid, key: str, name: str, dense: str, own: str
) -> Iterator[ColumnOf]:
    for convention in CONVENTIONS:
        heading = Heading(f"{name} / {dense}", convention, _classes(convention, own))
        yield ColumnOf(heading, costs, f"relative_{key}_{convention}")


def _classes(convention: str, own: str) -> str:
    """Return the classes by which the page shows a convention or not."""
    return f"c c-{convention}" + (" own" if convention == own else "")


def _figures(contents: Contents, runs: SweepRuns) -> list[FigureOf]:
    """Return the figures of every cost by every convention, then those without conventions."""
    data = contents.data
    sweep, quality = data.record.sweep, data.quality
    links = {row.name: runs.reference(counted_names(row)) for row in data.models}
    axes = [cost_figure_axis(axis_of(kind, one)) for kind in _FIGURES for one in CONVENTIONS]
    axes += [axis for axis in contents.axes if not axis.convention]
    return [
        FigureOf(
            title=axis.heading,
            convention=axis.convention,
            classes=_classes(axis.convention, sweep.convention) if axis.convention else "",
            svg=draw_figure(
                tradeoff_points(data, axis),
                f"{axis.heading} ({{unit}}{axis.unit})",
                quality.drawn_heading,
                lambda point: links.get(point.model),
            ),
        )
        for axis in axes
    ]


def _legend(contents: Contents) -> list[LegendEntry]:
    """Return the legend of a sweep's figures."""
    points = tradeoff_points(contents.data, cost_figure_axis(axis_of(PARAMETERS, "")))
    entries = [
        LegendEntry(marker(look, 8.0, 8.0), look.name)
        for look in legend_of(looks_of(points), frame_of(points))
    ]
    if has_front(points):
        entries.append(LegendEntry(Markup('<path class="front" d="M0 8H16"/>'), front_name(points)))
    return entries
