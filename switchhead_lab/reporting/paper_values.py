"""The paper's printed figures beside ours, from the package's data file."""

import textwrap
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from switchhead_lab.budget.cost_axes import ATTENTION_MACS, ATTENTION_MEMORY, axis_of
from switchhead_lab.config.sweep import PaperModel, PaperRow
from switchhead_lab.errors import ConfigError
from switchhead_lab.objectives.metrics import BITS_PER_BYTE
from switchhead_lab.paper.figures import Row, dataset_of, load_tables, parse_count
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
_NARROW_HEADING = 11  # columns of a heading on a terminal
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
        position: Its number in the table, from 0.
        model: The paper's name of the model.
        n_heads: Attention heads; None if not printed.
        loss: Perplexity, or bits per character; None if not printed.
        macs: Multiply-accumulates as printed, e.g. "170.4M"; empty if not printed.
        memory: Floats as printed; empty if not printed.
    """

    position: int
    model: str
    n_heads: int | None
    loss: float | None
    macs: str
    memory: str

    @property
    def label(self) -> str:
        """Name with heads."""
        return self.model if self.n_heads is None else f"{self.model}, {self.n_heads} heads"

    @property
    def macs_count(self) -> float | None:
        """Multiply-accumulates as a number; None if not printed."""
        return parse_count(self.macs) if self.macs else None

    @property
    def memory_count(self) -> float | None:
        """Floats as a number; None if not printed."""
        return parse_count(self.memory) if self.memory else None


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
        return self.find(row.name, row.family, is_baseline=row.role == "baseline")

    def find(self, name: str, family: str, *, is_baseline: bool) -> PaperFigures | None:
        """Return the paper's row for a model of the sweep.

        Args:
            name: Name of the model in the sweep.
            family: Its family.
            is_baseline: Whether it is the dense baseline.
        """
        if name in self.named:
            return self.named[name]
        if is_baseline:
            return self.dense
        return {"dense": self.head_matched, "SwitchHead": self.switchhead}.get(family)


def find_comparison(wanted: PaperRow, names: Collection[str] = ()) -> PaperComparison:
    """Find the rows of the paper that a sweep reproduces.

    Args:
        wanted: Table, data set and size, and the rows named for models.
        names: Models of the sweep; rows named for other models are ignored.

    Raises:
        ConfigError: If the table has no rows of that data set and size.
    """
    table = next(table for table in load_tables() if table["id"] == wanted.table)
    rows = {
        position: row
        for position, row in enumerate(table["rows"])
        if dataset_of(row, table) == wanted.dataset and row.get("params") == wanted.params
    }
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
        metric=metric_of(rows.values()),
        dense=dense[-1] if dense else None,
        head_matched=dense[0] if len(dense) > 1 else None,
        switchhead=switchhead[0] if switchhead else None,
        named={
            ours: _named(table, wanted, ours, theirs)
            for ours, theirs in wanted.models.items()
            if ours in names
        },
    )


def metric_of(rows: Iterable[Row]) -> str:
    """Return the metric that rows of the paper print: "perplexity" or `BITS_PER_CHARACTER`."""
    return BITS_PER_CHARACTER if any("bpc" in row for row in rows) else "perplexity"


def _named(table: dict[str, Any], wanted: PaperRow, ours: str, theirs: PaperModel) -> PaperFigures:
    """Find the row that a sweep names for one of our models."""
    params = wanted.params if theirs.params is None else theirs.params
    for position, row in enumerate(table["rows"]):
        key = (row["model"], dataset_of(row, table), row.get("params"), row.get("experts", ""))
        has_heads = theirs.n_heads is None or row.get("n_heads") == theirs.n_heads
        if has_heads and key == (theirs.model, wanted.dataset, params, theirs.experts):
            return figures_of(position, row)
    raise ConfigError(
        f"paper.models.{ours}: Table {wanted.table} has no row with model={theirs.model}, "
        f"dataset={wanted.dataset}, params={params}, experts={theirs.experts or 'none'}; see "
        "switchhead_lab/paper/switchhead.toml"
    )


def _figures(rows: Mapping[int, Row], names: tuple[str, ...]) -> list[PaperFigures]:
    return [
        figures_of(position, row)
        for position, row in rows.items()
        if row["model"] in names and row.get("experts", _EXPERT_PROJECTIONS) == _EXPERT_PROJECTIONS
    ]


def figures_of(position: int, row: Row) -> PaperFigures:
    """Return a row of a table of the paper.

    Args:
        position: Its number in the table, from 0.
        row: The row as data.
    """
    experts = row.get("experts", "")
    return PaperFigures(
        position=position,
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
        Column(
            "paper_relative_loss",
            f"{paper.metric} / dense: paper",
            short=_narrow_heading(in_words(paper.metric), "paper"),
        ),
        Column(
            quality.relative_key,
            _relative_heading(quality),
            short=_narrow_heading(_relative_words(quality), "ours"),
        ),
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
    figures = paper.counterpart(row)
    compared = compare(figures, paper.dense, OurRow(row, baseline, quality))
    return (
        Cell(row.name, row.name),
        Cell(figures.label, figures.label) if figures else Cell(MISSING),
        *(cell for one in compared for cell in (one.paper, one.ours, *one.over_dense)),
    )


def _relative_heading(quality: Quality) -> str:
    heading = quality.metric.heading
    return f"{heading} {'/' if quality.metric.is_compared_by_ratio else 'vs'} dense: ours"


def in_words(metric: str) -> str:
    """Return the name of a metric of the paper as words, which can be wrapped."""
    return metric.replace("/", " per ")


def _relative_words(quality: Quality) -> str:
    label = quality.metric.label
    return label if quality.metric.is_compared_by_ratio else f"{label} vs dense"


def _narrow_heading(metric: str, whose: str) -> str:
    return "\n".join([*textwrap.wrap(f"{metric},", _NARROW_HEADING), whose])


@dataclass(frozen=True)
class OurRow:
    """One of our models beside a row of the paper.

    Attributes:
        row: The model.
        baseline: The dense baseline of its sweep.
        quality: The metric to compare with the paper's.
    """

    row: ModelRow
    baseline: ModelRow
    quality: Quality


@dataclass(frozen=True)
class Compared:
    """One quantity of a row of the paper beside ours.

    Attributes:
        paper: The paper's value.
        ours: Our value, a mean for measured quantities.
        paper_relative: The paper's value over its dense baseline's.
        relative: Ours over our dense baseline's.
    """

    paper: Cell
    ours: Cell
    paper_relative: Cell
    relative: Cell

    @property
    def over_dense(self) -> tuple[Cell, Cell]:
        """The paper's ratio to dense, and ours."""
        return self.paper_relative, self.relative


def compare(
    figures: PaperFigures | None, dense: PaperFigures | None, ours: OurRow | None
) -> tuple[Compared, Compared, Compared]:
    """Compare metric, MACs and memory of a row of the paper with ours, absolute and over dense.

    Args:
        figures: The row; None if the paper has none for our model.
        dense: The row of the paper's dense baseline; None if there is none.
        ours: Our model; None if there is none.
    """
    missing = (Cell(MISSING), Cell(MISSING))
    loss = macs = memory = missing
    if ours is not None:
        row, baseline, quality = ours.row, ours.baseline, ours.quality
        loss = (
            mean_cell(row, quality.validation),
            quality_cell(row, baseline, quality, "validation"),
        )
        macs = (count_cell(row, _MACS), ratio_cell(row, baseline, _MACS))
        memory = (count_cell(row, _MEMORY), ratio_cell(row, baseline, _MEMORY))
    values, dense_values = _values(figures), _values(dense)
    texts = ("" if values[0] is None else f"{values[0]:.2f}", *_printed_costs(figures))
    styles = ((1, f".3f{TIMES}"), (100, ".1f%"), (100, ".1f%"))
    first, second, third = (
        Compared(
            paper=Cell(MISSING) if value is None else Cell(text, value),
            ours=own[0],
            paper_relative=_ratio(value, base, *style),
            relative=own[1],
        )
        for value, base, text, style, own in zip(
            values, dense_values, texts, styles, (loss, macs, memory), strict=True
        )
    )
    return first, second, third


def _printed_costs(figures: PaperFigures | None) -> tuple[str, str]:
    return ("", "") if figures is None else (figures.macs, figures.memory)


def _values(figures: PaperFigures | None) -> tuple[float | None, float | None, float | None]:
    if figures is None:
        return None, None, None
    return figures.loss, figures.macs_count, figures.memory_count


def _ratio(value: float | None, base: float | None, factor: int, style: str) -> Cell:
    """Make the cell of a ratio; `style` is a number format followed by the unit."""
    if value is None or base is None:
        return Cell(MISSING)
    ratio = value / base
    return Cell(f"{factor * ratio:{style[:-1]}}{style[-1]}", ratio)
