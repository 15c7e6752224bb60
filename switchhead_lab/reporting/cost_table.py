"""Costs of every model relative to the baseline, by all conventions side by side."""

from switchhead_lab.budget.cost_axes import (
    ACTIVE_PARAMETERS,
    ATTENTION_MACS,
    ATTENTION_MEMORY,
    LAYER_MACS,
    MODEL_MACS,
    MODEL_MEMORY,
    CostAxis,
    CostKind,
    axis_of,
)
from switchhead_lab.budget.quantity import MatchedQuantity
from switchhead_lab.budget.residual import (
    budget_fraction,
    describe_matched,
    describe_off_budget,
)
from switchhead_lab.config.cost_names import CONVENTIONS
from switchhead_lab.reporting.grids import Cell, Column, Grid, count_cell, ratio_cell
from switchhead_lab.reporting.report_data import ModelRow, ReportData
from switchhead_lab.reporting.statistics import MISSING

_PRINTED: tuple[tuple[CostKind, str], ...] = (
    (ATTENTION_MACS, "attention MACs"),
    (MODEL_MACS, "model MACs"),
)
_CSV_ONLY = (LAYER_MACS, ATTENTION_MEMORY, MODEL_MEMORY)
COSTS_CAPTION = (
    "MACs relative to the dense baseline, by each convention: of one attention layer and "
    "sequence, and of the whole model per token (attention and feed-forward blocks of all layers "
    "and the output layer; the embedding is a lookup). `published` reproduces the paper's tables, "
    "`equations` are the formulas in its text, `executed` is counted on the layers that are "
    "trained. The paper counts no feed-forward block; the first two count its matmuls. Active "
    "parameters are those used by one token. costs.csv also has the counts, and memory."
)


def cost_grid(data: ReportData, dense: str = "") -> Grid:
    """Build the table of costs: ratios in print, ratios and counts in the CSV file.

    Args:
        data: The report's data.
        dense: Name of the baseline in headings; its own if empty.
    """
    baseline = data.baseline
    dense = dense or baseline.name
    columns = [
        Column("model", "model", is_text=True),
        Column("family", "attention + feed-forward", is_text=True),
        Column("matched", "matched by", is_text=True),
    ]
    ratios = [(kind, name, axis_of(kind, c)) for kind, name in _PRINTED for c in CONVENTIONS]
    columns += [
        Column(f"relative_{axis.key}", f"{name} / {dense}, {axis.convention}")
        for _, name, axis in ratios
    ]
    active = axis_of(ACTIVE_PARAMETERS, "")
    columns += [
        Column(active.key, "active parameters"),
        Column(f"relative_{active.key}", f"active parameters / {dense}"),
    ]
    printed = [axis for _, _, axis in ratios]
    further = [axis_of(kind, c) for kind in _CSV_ONLY for c in CONVENTIONS]
    columns += [Column(axis.key, "") for axis in (*printed, *further)]
    columns += [Column(f"relative_{axis.key}", "") for axis in further]
    rows = tuple(_cells(row, baseline, printed, active, further) for row in data.models)
    return Grid("costs", tuple(columns), rows)


def matched_lines(data: ReportData) -> list[str]:
    """Return the sizes that other conventions would have matched, for MAC-matched models."""
    lines = []
    for row in data.models:
        resolved = row.resolved
        if resolved is None or row.role == "baseline" or not resolved.sizes_by_convention:
            continue
        sizes, own = resolved.sizes_by_convention, resolved.matched_convention
        others = ", ".join(
            f"{sizes[name]} by {name}" if name in sizes else f"none by {name}"
            for name in CONVENTIONS
            if name != own
        )
        lines.append(
            f"{row.name} is MAC-matched by the {own} convention, with "
            f"{resolved.matched_over} {sizes.get(own, MISSING)}; it would be {others}."
        )
    return lines


def off_budget_lines(data: ReportData) -> list[str]:
    """Return warnings about models more than one percent off their budget."""
    lines, base = [], data.baseline.costs
    for row in data.models:
        matched = _matched(row)
        if matched is None or row.resolved is None or row.costs is None or base is None:
            continue
        convention = row.resolved.matched_convention
        fraction = budget_fraction(row.costs, base, matched, convention)
        off = describe_off_budget(matched, fraction, convention)
        if off is not None:
            lines.append(f"WARNING: {row.name} has {off} than {data.baseline.name}.")
    return lines


def _matched(row: ModelRow) -> MatchedQuantity | None:
    return None if row.role == "baseline" or row.resolved is None else row.resolved.matched


def _cells(
    row: ModelRow,
    baseline: ModelRow,
    printed: list[CostAxis],
    active: CostAxis,
    further: list[CostAxis],
) -> tuple[Cell, ...]:
    matched, words = _matched(row), MISSING
    if matched is not None and row.resolved is not None:
        words = describe_matched(matched, row.resolved.matched_convention)
    return (
        Cell(row.name, row.name),
        Cell(row.family or MISSING, row.family or None),
        Cell(words, matched),
        *(ratio_cell(row, baseline, axis) for axis in printed),
        count_cell(row, active),
        ratio_cell(row, baseline, active),
        *(count_cell(row, axis) for axis in (*printed, *further)),
        *(ratio_cell(row, baseline, axis) for axis in further),
    )
