"""What a sweep's report says: its data, tables, figures' costs and verdicts, before any format."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from switchhead_lab.budget.cost_axes import PARAMETERS, axis_of
from switchhead_lab.config.sweep import PaperRow
from switchhead_lab.reporting.candidate_table import candidate_grid
from switchhead_lab.reporting.caption import caption_lines, title
from switchhead_lab.reporting.claim_table import (
    StatedClaim,
    claim_grid,
    claim_lines,
    read_claims,
)
from switchhead_lab.reporting.cost_table import cost_grid
from switchhead_lab.reporting.curves import Curve, loss_curves
from switchhead_lab.reporting.figure_axes import (
    FigureAxis,
    cost_figure_axis,
    find_figure_axes,
    time_figure_axis,
)
from switchhead_lab.reporting.gpu_resources import read_gpu_resources
from switchhead_lab.reporting.grids import Grid
from switchhead_lab.reporting.model_table import chosen_keys, model_grid, print_keys
from switchhead_lab.reporting.page import Page
from switchhead_lab.reporting.paper_setup import paper_caption
from switchhead_lab.reporting.paper_values import (
    PaperComparison,
    find_comparison,
    paper_grid,
    paper_quality,
)
from switchhead_lab.reporting.print_width import fit_page
from switchhead_lab.reporting.report_data import ReportData
from switchhead_lab.reporting.resources import (
    Resources,
    StepTimes,
    read_resources,
    read_step_times,
)
from switchhead_lab.reporting.tradeoff import undrawn_lines
from switchhead_lab.reporting.zero_shot import zero_shot_grid

DEFAULT_AXES = ("attention-macs", "model-macs", "attention-memory")
"""Default costs of figures, by the sweep's convention.

Parameters are added if models differ in them, step times if models were timed together."""
_SAME_SIZE = 0.01


@dataclass(frozen=True)
class Contents:
    """What a sweep's report says.

    Attributes:
        data: The sweep's runs.
        page: Its tables and captions.
        axes: Costs to draw, one figure each.
        claims: Its claims with their verdicts.
        notes: Notes on the selection of the record.
        is_default: Whether it has the default figures and columns.
    """

    data: ReportData
    page: Page
    axes: tuple[FigureAxis, ...]
    claims: tuple[StatedClaim, ...]
    notes: tuple[str, ...]
    is_default: bool

    @cached_property
    def curves(self) -> list[Curve]:
        """The models' loss curves.

        Raises:
            RecordError: If the metrics of a run are damaged.
        """
        return loss_curves(self.data)


def read_contents(
    data: ReportData,
    reports_dir: Path,
    notes: tuple[str, ...] = (),
    axes: Sequence[str] = DEFAULT_AXES,
    columns: str = "",
) -> Contents:
    """Return what the report of a sweep says.

    Args:
        data: The sweep's runs.
        reports_dir: Folder of all reports, with timings.
        notes: Notes on the selection of the record.
        axes: Costs to draw, one figure each; see `find_figure_axes`.
        columns: Columns to print in the main table; see `chosen_keys`.

    Raises:
        ConfigError: If the sweep names rows that the paper does not have, or an axis or a column
            is unknown.
        RecordError: If a file with timings is damaged.
    """
    sweep = data.record.sweep
    own = read_resources(sweep, reports_dir)
    resources = (*([own] if own else []), *read_gpu_resources(data.record, reports_dir))
    is_default = tuple(axes) == DEFAULT_AXES and not columns
    times = read_step_times(data, reports_dir)
    drawn = find_figure_axes(axes, sweep.convention, times)
    if is_default and _sizes_differ(data):
        drawn.append(cost_figure_axis(axis_of(PARAMETERS, "")))
    if is_default and len(times.ms) > 1:
        drawn.append(time_figure_axis(times))
    claims = tuple(read_claims(data, times))
    page = _page(data, notes, resources, times, claims, drawn, columns)
    return Contents(data, page, tuple(drawn), claims, notes, is_default)


def _sizes_differ(data: ReportData) -> bool:
    """Return whether a model's parameters are over one percent off those of the smallest."""
    sizes = [row.costs.n_parameters for row in data.models if row.costs is not None]
    return bool(sizes) and max(sizes) > (1.0 + _SAME_SIZE) * min(sizes)


def _page(
    data: ReportData,
    notes: tuple[str, ...],
    resources: tuple[Resources, ...],
    times: StepTimes,
    claims: Sequence[StatedClaim],
    axes: Sequence[FigureAxis],
    columns: str,
) -> Page:
    sweep = data.record.sweep
    table = model_grid(data, times.ms)
    comparison = None
    if sweep.paper is not None:
        comparison = find_comparison(sweep.paper, [row.name for row in data.models])
    return Page(
        title=title(data),
        caption=caption_lines(data, [*notes, *undrawn_lines(data, axes)], times.caption),
        table=table.printing(chosen_keys(table.columns, columns, data.quality)),
        in_print=_in_print(table, columns, data),
        costs=cost_grid(data),
        paper=paper_grid(data, comparison) if comparison else None,
        paper_caption=_paper_caption(sweep.paper, data, comparison),
        candidates=candidate_grid(data) if sweep.all_studies else None,
        zero_shot=zero_shot_grid(data),
        figures=tuple(figure_name(data, axis) for axis in axes),
        quality=data.quality,
        paper_quality=paper_quality(comparison, data) if comparison else data.quality,
        resources=resources,
        claims=claim_grid(claims) if claims else None,
        claims_caption=claim_lines(claims),
    )


def _paper_caption(
    paper: PaperRow | None, data: ReportData, comparison: PaperComparison | None
) -> str:
    """Return the sentences above the paper's values, with the metric that results are of."""
    if paper is None or comparison is None:
        return ""
    ours = paper_quality(comparison, data).metric.heading
    metrics = f"Results are {comparison.metric} in the paper and {ours} here."
    return f"{paper_caption(paper, data)} {metrics}"


def _in_print(table: Grid, columns: str, data: ReportData) -> Grid:
    """Return the main table for a paper: the chosen columns, else those that fit on a page."""
    if columns:
        return table.printing(chosen_keys(table.columns, columns, data.quality))
    return fit_page(table, print_keys(data.quality))


def figure_name(data: ReportData, axis: FigureAxis) -> str:
    """Return the name of a figure's files, without suffix."""
    is_own = axis.convention in ("", data.record.sweep.convention)
    name = axis.name if is_own else f"{axis.name}-{axis.convention}"
    return f"{data.quality.figure_prefix}-vs-{name}"
