"""The table of perplexities and costs: each printed row beside ours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from switchhead_lab.reporting.grids import TIMES, Cell, Column, Grid
from switchhead_lab.reporting.paper_setup import MODEL_SIZE
from switchhead_lab.reporting.paper_tables.assembly import Assembly, FilledRow
from switchhead_lab.reporting.paper_tables.pocket_tasks import (
    pocket_cells,
    pocket_columns,
    pocket_groups,
    pocket_views,
)
from switchhead_lab.reporting.paper_tables.view import NOT_RUN_CELL, View
from switchhead_lab.reporting.paper_values import Compared, compare, in_words
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.reporting.zero_shot import PAPER_SCORES, score_cell


@dataclass(frozen=True)
class _Quantity:
    """A quantity that tables print.

    Attributes:
        key: Part of the names of its columns.
        heading: Name in print.
        short: Name in narrow tables.
    """

    key: str
    heading: str
    short: str

    def columns(self) -> tuple[Column, ...]:
        """Return its columns: the paper's value, ours and their difference; then over dense."""
        key, name, short = self.key, self.heading, self.short
        is_measured = key == _LOSS
        return (
            Column(f"paper_{key}", f"{name}: paper", short=f"{short}, paper"),
            Column(key, f"{name}: ours", is_mean=is_measured, short=f"{short}, ours"),
            Column(f"{key}_difference", f"{name}: ours - paper", short="difference"),
            Column(f"paper_relative_{key}", f"{name} / dense: paper", short=f"{short}, paper"),
            Column(f"relative_{key}", f"{name} / dense: ours", short=f"{short}, ours"),
            Column(
                f"relative_{key}_difference",
                f"{name} / dense: ours - paper",
                short="difference",
            ),
        )


_LOSS, _MACS, _MEMORY = "loss", "macs", "memory_floats"
_FACTS = (
    Column("dataset", "data set of the paper", is_text=True),
    Column("paper_params", "million parameters in the paper"),
    Column("paper_model", "model of the paper", is_text=True),
    Column("metric", "our metric", is_text=True),
    Column("model", "our model", is_text=True),
    Column("sweep", "our sweep", is_text=True),
    Column("size", "size", is_text=True),
    Column("corpus", "our corpus", is_text=True, short="corpus"),
    Column("n_parameters", "our parameters"),
    Column("n_seeds", "n"),
    Column("n_seeds_declared", "seeds declared"),
)


def comparison_grid(assembly: Assembly) -> Grid:
    """Build the table: every printed row with the paper's values, ours and their difference."""
    quantities = _quantities(assembly)
    tasks, groups = assembly.table.tasks(), pocket_groups(assembly)
    columns = (
        Column("row", "row of the paper", is_text=True),
        *_FACTS,
        *(column for quantity in quantities for column in quantity.columns()),
        *(column for key, name in tasks.items() for column in _score_columns(key, name)),
        *pocket_columns(groups),
    )
    rows = tuple(
        (*_cells(row, assembly, quantities, list(tasks)), *pocket_cells(row, groups))
        for row in assembly.rows
    )
    return Grid("table", columns, rows)


def comparison_views(assembly: Assembly) -> tuple[View, ...]:
    """Return what is printed: ratios to dense, absolute values, and what was run."""
    keys = [quantity.key for quantity in _quantities(assembly)]
    relative = [_relative_keys(key) for key in keys]
    absolute = [(f"paper_{key}", key, f"{key}_difference") for key in keys]
    scores = [(f"paper_{key}", key) for key in assembly.table.tasks()]
    run = ("model", "n_parameters", "size", "metric", "sweep")
    return (
        View("table", "Ratios to the dense baseline", ("corpus", "n_seeds", *_flat(relative))),
        View("absolute", "Absolute values", ("corpus", "n_seeds", *_flat([*absolute, *scores]))),
        *pocket_views(pocket_groups(assembly)),
        View("run", "What was run", ("corpus", "n_seeds", *run)),
    )


def terminal_keys(assembly: Assembly) -> tuple[str, ...]:
    """Return the columns that fit a terminal."""
    keys = [quantity.key for quantity in _quantities(assembly)]
    shown = _flat([(f"paper_relative_{key}", f"relative_{key}") for key in keys])
    return ("row", *shown, "n_seeds")


def loss_heading(assembly: Assembly) -> str:
    """Return the name of the metric, or of the metrics, that a table prints."""
    return " or ".join(assembly.table.metrics())


def metric_line(assembly: Assembly) -> str:
    """Return the metrics of the rows, the paper's and ours; empty if the heading names them."""
    blocks: dict[str, list[str]] = {}
    for block in assembly.blocks:
        printed = in_words(assembly.table.metric(block.block))
        own = {row.ours.quality.metric.label for row in block.rows if row.ours is not None}
        others = sorted(own - {printed})
        text = f"{printed} (ours: {', '.join(others)})" if others else printed
        blocks.setdefault(text, []).append(block.block.label)
    if len(blocks) == 1 and [*blocks] == assembly.table.metrics():
        return ""
    first, *others = blocks
    exceptions = [f"; in {', '.join(blocks[text])}: {text}" for text in others]
    return f"{_short_loss(assembly)}: {first}{''.join(exceptions)}"


def _short_loss(assembly: Assembly) -> str:
    return "ppl" if len(assembly.table.metrics()) == 1 else "loss"


def _quantities(assembly: Assembly) -> list[_Quantity]:
    """Return the quantities that the table prints."""
    figures = [row.figures for row in assembly.table.rows]
    found = [_Quantity(_LOSS, loss_heading(assembly), _short_loss(assembly))]
    found += [_Quantity(_MACS, "MACs", "MACs")] * any(one.macs for one in figures)
    found += [_Quantity(_MEMORY, "memory", "memory")] * any(one.memory for one in figures)
    return found


def _relative_keys(key: str) -> tuple[str, ...]:
    return f"paper_relative_{key}", f"relative_{key}", f"relative_{key}_difference"


def _flat(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(key for group in groups for key in group)


def _score_columns(key: str, name: str) -> tuple[Column, Column]:
    ours = Column(key, f"{name} %: ours", is_mean=True)
    return Column(f"paper_{key}", f"{name} %: paper"), ours


def _cells(
    row: FilledRow, assembly: Assembly, quantities: Sequence[_Quantity], tasks: Sequence[str]
) -> Iterator[Cell]:
    printed = row.printed
    yield Cell(printed.label, printed.label)
    yield from _fact_cells(row)
    dense = assembly.table.dense(printed.block)
    loss, macs, memory = compare(printed.figures, dense, row.ours)
    by_key = {_LOSS: loss, _MACS: macs, _MEMORY: memory}
    for quantity in quantities:
        yield from _quantity_cells(quantity.key, by_key[quantity.key], row)
    for task in tasks:
        score = printed.scores.get(task)
        yield Cell(MISSING) if score is None else Cell(f"{score:.1f}", score)
        yield _score_cell(row, task)


def _score_cell(row: FilledRow, task: str) -> Cell:
    """Make the cell of our zero-shot accuracy."""
    if row.printed.scores.get(task) is None:
        return Cell(MISSING)
    ours = None if row.ours is None else score_cell(row.ours.row, PAPER_SCORES[task])
    return ours or Cell("not measured")


def _fact_cells(row: FilledRow) -> Iterator[Cell]:
    block, source, ours = row.printed.block, row.source, row.ours
    yield Cell(block.dataset, block.dataset)
    yield Cell(str(block.params or MISSING), block.params)
    yield Cell(row.printed.figures.label, row.printed.figures.label)
    if source is None or ours is None:
        yield from (NOT_RUN_CELL if column.is_text else Cell(MISSING) for column in _FACTS[3:])
        return
    metric, sweep = ours.quality.metric.heading, source.sweep
    for text in (metric, ours.row.name, source.id, sweep.size, sweep.data.corpus):
        yield Cell(text, text)
    costs, seeds = ours.row.costs, ours.row.statistics(ours.quality.validation)
    n_parameters = None if costs is None else costs.n_parameters
    yield Cell(MISSING if n_parameters is None else f"{n_parameters / 1e6:.2f}M", n_parameters)
    of = "" if ours.row.is_complete else f" of {seeds.n_expected}"
    yield Cell(f"{seeds.n}{of}", seeds.n)
    yield Cell(str(len(ours.row.seeds)), len(ours.row.seeds))


def _quantity_cells(key: str, compared: Compared, row: FilledRow) -> Iterator[Cell]:
    is_loss = key == _LOSS
    ours, relative = compared.ours, compared.relative
    if row.ours is None:
        ours = relative = NOT_RUN_CELL
    elif is_loss and row.is_missing:
        relative = Cell(NOT_RUN_CELL.text)
    yield from (compared.paper, ours, _difference(compared, row, is_loss=is_loss))
    yield from (compared.paper_relative, relative, _relative_difference(compared, is_loss=is_loss))


def _difference(compared: Compared, row: FilledRow, *, is_loss: bool) -> Cell:
    """Make the cell of an absolute difference; empty if the values do not compare."""
    difference = _minus(compared.ours, compared.paper)
    if difference is None or row.source is None:
        return Cell(MISSING)
    differs = row.source.differences if is_loss else MODEL_SIZE in row.source.differences
    if differs:
        return Cell(MISSING)
    text = f"{difference:+.2f}" if is_loss else f"{difference / 1e6:+.2f}M"
    return Cell(text, difference, runs=compared.ours.runs)


def _relative_difference(compared: Compared, *, is_loss: bool) -> Cell:
    """Make the cell of a difference of ratios, of costs in percentage points."""
    difference = _minus(compared.relative, compared.paper_relative)
    is_ratio = not is_loss or TIMES in compared.relative.text
    if difference is None or not is_ratio:
        return Cell(MISSING)
    text = f"{difference:+.3f}" if is_loss else f"{100 * difference:+.1f}"
    return Cell(text, difference, runs=compared.relative.runs)


def _minus(ours: Cell, paper: Cell) -> float | None:
    """Return ours minus the paper's; None if either is missing."""
    if isinstance(ours.value, int | float) and isinstance(paper.value, int | float):
        return ours.value - paper.value
    return None
