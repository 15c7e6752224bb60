"""The paper's printed figures beside ours, from the package's data file."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from switchhead_lab.budget.cost_axes import ATTENTION_MACS, ATTENTION_MEMORY, axis_of
from switchhead_lab.config.sweep import PaperModel, PaperRow
from switchhead_lab.errors import ConfigError
from switchhead_lab.objectives.metrics import BITS_PER_BYTE
from switchhead_lab.paper.figures import dataset_of, load_tables, parse_count
from switchhead_lab.reporting.grids import (
    TIMES,
    Cell,
    Column,
    Grid,
    count_cell,
    mean_cell,
    quality_cell,
    ratio_cell,
)
from switchhead_lab.reporting.quality import Quality
from switchhead_lab.reporting.report_data import ModelRow, ReportData
from switchhead_lab.reporting.statistics import MISSING

BITS_PER_CHARACTER = "bits/character"
_DENSE_NAMES = ("transformer", "transformer-rope")
_SWITCHHEAD_NAMES = ("switchhead", "switchhead-rope")
# The paper's SwitchHead has experts for values and outputs; only Table 6 has others.
_EXPERT_PROJECTIONS = "VO"
# Our costs beside the paper's use the convention of its tables.
_MACS, _MEMORY = axis_of(ATTENTION_MACS, "published"), axis_of(ATTENTION_MEMORY, "published")


@dataclass(frozen=True)
class PaperFigures:
    """One row of a table of the paper, as printed.

    Attributes:
        model: The paper's name of the model.
        n_heads: Attention heads; None if not printed.
        loss: Perplexity, or bits per character; None if not printed.
        macs: Multiply-accumulates as printed, e.g. "170.4M"; empty if not printed.
        memory: Floats as printed; empty if not printed.
    """

    model: str
    n_heads: int | None
    loss: float | None
    macs: str
    memory: str

    @property
    def label(self) -> str:
        """Name with heads."""
        return self.model if self.n_heads is None else f"{self.model}, {self.n_heads} heads"


@dataclass(frozen=True)
class PaperComparison:
    """The rows of the paper that a sweep reproduces.

    Attributes:
        metric: "perplexity" or `BITS_PER_CHARACTER`.
        dense: Dense baseline, the transformer with the most heads.
        head_matched: Transformer with the fewest heads; None if there is only one.
        switchhead: SwitchHead; None if the table has none.
        named: Rows that the sweep names explicitly, by our model name.
    """

    metric: str
    dense: PaperFigures | None
    head_matched: PaperFigures | None
    switchhead: PaperFigures | None
    named: Mapping[str, PaperFigures]

    def counterpart(self, row: ModelRow) -> PaperFigures | None:
        """Return the paper's row for one of our models."""
        if row.name in self.named:
            return self.named[row.name]
        if row.role == "baseline":
            return self.dense
        return {"dense": self.head_matched, "SwitchHead": self.switchhead}.get(row.family)


def find_comparison(wanted: PaperRow, names: Collection[str] = ()) -> PaperComparison:
    """Find the rows of the paper that a sweep reproduces.

    Args:
        wanted: Table, data set and size, and the rows named for models.
        names: Models of the sweep; rows named for other models are ignored.

    Raises:
        ConfigError: If the table has no rows of that data set and size.
    """
    table = next(table for table in load_tables() if table["id"] == wanted.table)
    rows = [
        row
        for row in table["rows"]
        if dataset_of(row, table) == wanted.dataset and row.get("params") == wanted.params
    ]
    if not rows:
        known = sorted({(dataset_of(row, table), row.get("params", 0)) for row in table["rows"]})
        listed = ", ".join(f"{dataset} {params}M" for dataset, params in known)
        raise ConfigError(
            f"paper: Table {wanted.table} has no rows for dataset={wanted.dataset}, "
            f"params={wanted.params}; it has {listed}"
        )
    dense = sorted(_figures(rows, _DENSE_NAMES), key=lambda figures: figures.n_heads or 0)
    switchhead = _figures(rows, _SWITCHHEAD_NAMES)
    return PaperComparison(
        metric=BITS_PER_CHARACTER if any("bpc" in row for row in rows) else "perplexity",
        dense=dense[-1] if dense else None,
        head_matched=dense[0] if len(dense) > 1 else None,
        switchhead=switchhead[0] if switchhead else None,
        named={
            ours: _named(table, wanted, ours, theirs)
            for ours, theirs in wanted.models.items()
            if ours in names
        },
    )


def _named(table: dict[str, Any], wanted: PaperRow, ours: str, theirs: PaperModel) -> PaperFigures:
    """Find the row that a sweep names for one of our models."""
    params = wanted.params if theirs.params is None else theirs.params
    for row in table["rows"]:
        key = (row["model"], dataset_of(row, table), row.get("params"), row.get("experts", ""))
        has_heads = theirs.n_heads is None or row.get("n_heads") == theirs.n_heads
        if has_heads and key == (theirs.model, wanted.dataset, params, theirs.experts):
            return _as_figures(row)
    raise ConfigError(
        f"paper.models.{ours}: Table {wanted.table} has no row with model={theirs.model}, "
        f"dataset={wanted.dataset}, params={params}, experts={theirs.experts or 'none'}; see "
        "switchhead_lab/paper/switchhead.toml"
    )


def _figures(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[PaperFigures]:
    return [
        _as_figures(row)
        for row in rows
        if row["model"] in names and row.get("experts", _EXPERT_PROJECTIONS) == _EXPERT_PROJECTIONS
    ]


def _as_figures(row: dict[str, Any]) -> PaperFigures:
    experts = row.get("experts", "")
    return PaperFigures(
        model=f"{row['model']} {experts}".rstrip(),
        n_heads=row.get("n_heads"),
        loss=row.get("ppl", row.get("bpc")),
        macs=row.get("macs", ""),
        memory=row.get("mem", ""),
    )


def paper_grid(data: ReportData, paper: PaperComparison) -> Grid:
    """Build the table of the paper's figures, each beside ours."""
    quality = paper_quality(paper, data)
    columns = (
        Column("model", "model", is_text=True),
        Column("paper_model", "paper's model", is_text=True),
        Column("paper_loss", f"{paper.metric}: paper"),
        Column(quality.validation.key, f"{quality.metric.heading}: ours", is_mean=True),
        Column("paper_relative_loss", f"{paper.metric} / dense: paper"),
        Column(quality.relative_key, _relative_heading(quality)),
        Column("paper_macs", "MACs: paper"),
        Column("macs", "MACs: ours"),
        Column("paper_relative_macs", "MACs / dense: paper"),
        Column("relative_macs", "MACs / dense: ours"),
        Column("paper_memory_floats", "memory: paper"),
        Column("memory_floats", "memory: ours"),
        Column("paper_relative_memory_floats", "memory / dense: paper"),
        Column("relative_memory_floats", "memory / dense: ours"),
    )
    rows = tuple(_cells(row, data.baseline, paper, quality) for row in data.models)
    return Grid("paper", columns, rows)


def paper_quality(paper: PaperComparison, data: ReportData) -> Quality:
    """Return the metric to compare with the paper's.

    Ratios of bits per character compare with ratios of bits per byte, not of perplexities.
    """
    results = [run.result for row in data.models for run in row.finished if run.result]
    is_measured = all(one.validation.get(BITS_PER_BYTE.name) is not None for one in results)
    is_bits = paper.metric == BITS_PER_CHARACTER and is_measured
    return Quality(BITS_PER_BYTE) if is_bits else data.quality


def _cells(
    row: ModelRow, baseline: ModelRow, paper: PaperComparison, quality: Quality
) -> tuple[Cell, ...]:
    figures, dense = paper.counterpart(row), paper.dense
    loss, macs, memory = _values(figures)
    dense_loss, dense_macs, dense_memory = _values(dense)
    return (
        Cell(row.name, row.name),
        Cell(figures.label, figures.label) if figures else Cell(MISSING),
        Cell(MISSING) if loss is None else Cell(f"{loss:.2f}", loss),
        mean_cell(row, quality.validation),
        _ratio(loss, dense_loss, 1, f".3f{TIMES}"),
        quality_cell(row, baseline, quality, "validation"),
        Cell(figures.macs, macs) if figures and figures.macs else Cell(MISSING),
        count_cell(row, _MACS),
        _ratio(macs, dense_macs, 100, ".1f%"),
        ratio_cell(row, baseline, _MACS),
        Cell(figures.memory, memory) if figures and figures.memory else Cell(MISSING),
        count_cell(row, _MEMORY),
        _ratio(memory, dense_memory, 100, ".1f%"),
        ratio_cell(row, baseline, _MEMORY),
    )


def _relative_heading(quality: Quality) -> str:
    heading = quality.metric.heading
    return f"{heading} {'/' if quality.metric.is_compared_by_ratio else 'vs'} dense: ours"


def _values(figures: PaperFigures | None) -> tuple[float | None, float | None, float | None]:
    if figures is None:
        return None, None, None
    macs, memory = figures.macs, figures.memory
    return (
        figures.loss,
        parse_count(macs) if macs else None,
        parse_count(memory) if memory else None,
    )


def _ratio(value: float | None, base: float | None, factor: int, style: str) -> Cell:
    """Make the cell of a ratio; `style` is a number format followed by the unit."""
    if value is None or base is None:
        return Cell(MISSING)
    ratio = value / base
    return Cell(f"{factor * ratio:{style[:-1]}}{style[-1]}", ratio)
