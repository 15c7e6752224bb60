"""A sweep over several sizes: loss against training compute, power laws, compute multipliers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from switchhead_lab.claims.scaling import (
    ComputeMultiplier,
    PowerLaw,
    Rung,
    compute_multipliers,
    fit_power_law,
)
from switchhead_lab.errors import ConfigError
from switchhead_lab.number_text import short_count
from switchhead_lab.objectives.metrics import LOSS
from switchhead_lab.reporting.caption import LOUD
from switchhead_lab.reporting.checks import incomplete_lines, warning_lines
from switchhead_lab.reporting.commands import sweep_command
from switchhead_lab.reporting.grids import TIMES, Cell, Column, Grid, mean_cell, names_of
from switchhead_lab.reporting.quality import Quality
from switchhead_lab.reporting.report_data import ModelRow, ReportData
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.reporting.training_compute import CONVENTION, training_macs

_LOSS = Quality(LOSS).validation
_FEW_SEEDS = 5
_NOT_ENCLOSED = "not enclosed"


@dataclass(frozen=True)
class LadderRow:
    """One model at one size.

    Attributes:
        size: Name of the size.
        model: The model over its seeds.
        macs: MACs of one training, forward and backward; None without a finished run.
    """

    size: str
    model: ModelRow
    macs: float | None

    @property
    def rung(self) -> Rung | None:
        """Compute and losses; None without finite losses."""
        losses = self.model.statistics(_LOSS).values
        if self.macs is None or not losses or not all(map(math.isfinite, losses)):
            return None
        return Rung(self.size, self.macs, losses)


@dataclass(frozen=True)
class LadderModel:
    """One model over the sizes.

    Attributes:
        name: Name in the sweep.
        rows: The sizes that have the model, smallest first.
        law: Power law of its losses; None with fewer than two sizes.
        multipliers: Compute multiplier by size; empty for the baseline.
    """

    name: str
    rows: tuple[LadderRow, ...]
    law: PowerLaw | None
    multipliers: dict[str, ComputeMultiplier]

    @property
    def rungs(self) -> list[Rung]:
        """Sizes with a result."""
        return [row.rung for row in self.rows if row.rung is not None]


@dataclass(frozen=True)
class Ladder:
    """Every model over the sizes.

    Attributes:
        name: Name of the sweep.
        sizes: Data of each recorded size, smallest first.
        missing: Sizes without a record.
        models: The models; the baseline first.
    """

    name: str
    sizes: tuple[ReportData, ...]
    missing: tuple[str, ...]
    models: tuple[LadderModel, ...]


def read_ladder(found: Mapping[str, ReportData], ladder: Sequence[str]) -> Ladder:
    """Compare the models of a sweep over its sizes.

    Args:
        found: Data of the recorded sizes; at least one of the ladder.
        ladder: All sizes, smallest first.

    Raises:
        ConfigError: If the sizes were recorded with different corpora, tokenizers or objectives.
    """
    sizes = [found[size] for size in ladder if size in found]
    _require_comparable(sizes)
    missing = [size for size in ladder if size not in found]
    names = list(dict.fromkeys(row.name for data in sizes for row in data.models))
    baseline = _model(sizes, names[0], ())
    others = [_model(sizes, name, baseline.rungs) for name in names[1:]]
    name = sizes[0].record.sweep.name
    return Ladder(name, tuple(sizes), tuple(missing), (baseline, *others))


def _require_comparable(sizes: Sequence[ReportData]) -> None:
    """Losses are comparable only on the same text, in the same tokens."""
    first = sizes[0].record.sweep
    for data in sizes[1:]:
        sweep = data.record.sweep
        if (sweep.data, sweep.objective) != (first.data, first.objective):
            raise ConfigError(
                f"sweep {sweep.name}: sizes {first.size} and {sweep.size} were run with other data "
                "or another objective, so their losses cannot be compared; run them alike"
            )


def _model(sizes: Sequence[ReportData], name: str, baseline: Sequence[Rung]) -> LadderModel:
    rows = tuple(
        LadderRow(data.record.sweep.size, row, training_macs(row))
        for data in sizes
        for row in data.models
        if row.name == name
    )
    rungs = [row.rung for row in rows if row.rung is not None]
    multipliers = compute_multipliers(rungs, baseline) if rungs and len(baseline) > 1 else []
    return LadderModel(
        name=name,
        rows=rows,
        law=fit_power_law(rungs) if len(rungs) > 1 else None,
        multipliers={one.size: one for one in multipliers},
    )


def ladder_grid(ladder: Ladder) -> Grid:
    """Build the table of every model at every size."""
    columns = (
        Column("model", "model", is_text=True),
        Column("size", "size", is_text=True),
        Column("n_parameters", "parameters", short="params"),
        Column("training_macs", f"training MACs ({CONVENTION})", short="MACs"),
        Column(_LOSS.key, "validation loss (nats)", is_mean=True, short="val loss"),
        Column("compute_multiplier", "compute multiplier", short="multiplier"),
        Column("compute_multiplier_low", ""),
        Column("compute_multiplier_high", ""),
    )
    rows = [
        _ladder_cells(model, row, ladder.models[0]) for model in ladder.models for row in model.rows
    ]
    return Grid("ladder", columns, tuple(rows))


def _ladder_cells(model: LadderModel, row: LadderRow, baseline: LadderModel) -> tuple[Cell, ...]:
    runs = names_of(row.model)
    costs = row.model.costs
    parameters = costs.n_parameters if costs else None
    return (
        Cell(model.name, model.name),
        Cell(row.size, row.size),
        _count(parameters, runs),
        _count(row.macs, runs),
        mean_cell(row.model, _LOSS),
        *_multiplier_cells(model, row, baseline),
    )


def _multiplier_cells(
    model: LadderModel, row: LadderRow, baseline: LadderModel
) -> tuple[Cell, Cell, Cell]:
    found = model.multipliers.get(row.size)
    if found is None:
        return Cell(MISSING), Cell(""), Cell("")
    runs = names_of(row.model, *(one.model for one in baseline.rows))
    if found.multiplier is None:
        return Cell(_NOT_ENCLOSED, runs=runs), Cell(""), Cell("")
    low, high = found.interval or (None, None)
    text = f"{found.multiplier:.2f}{TIMES}{_interval_text(found.interval)}"
    return Cell(text, found.multiplier, runs=runs), Cell("", low), Cell("", high)


def law_grid(ladder: Ladder) -> Grid:
    """Build the table of the fitted power laws."""
    columns = (
        Column("model", "model", is_text=True),
        Column("n_sizes", "sizes"),
        Column("exponent", "exponent"),
        Column("exponent_low", ""),
        Column("exponent_high", ""),
        Column("scale", ""),
    )
    rows = []
    for model in ladder.models:
        runs = names_of(*(row.model for row in model.rows))
        name, n_sizes = Cell(model.name, model.name), len(model.rungs)
        if model.law is None:
            rows.append((name, Cell(str(n_sizes), n_sizes), *[Cell(MISSING)] * 4))
            continue
        low, high = model.law.exponent_interval or (None, None)
        text = f"{model.law.exponent:.4f}{_interval_text(model.law.exponent_interval, 4)}"
        cells = (Cell(text, model.law.exponent, runs=runs), Cell("", low), Cell("", high))
        rows.append((name, Cell(str(n_sizes), n_sizes), *cells, Cell("", model.law.scale)))
    return Grid("laws", columns, tuple(rows))


def ladder_caption(ladder: Ladder) -> list[str]:
    """Return the sentences of the caption, gaps and warnings first."""
    return [*gap_lines(ladder), *_warnings(ladder), *_explanations(ladder)]


def gap_lines(ladder: Ladder) -> list[str]:
    """Return a sentence for each size or run that is missing."""
    word = LOUD[0]
    lines = [
        f"{word}: size {size} has not been run; {_how_to_run(ladder, size)}."
        for size in ladder.missing
    ]
    for data in ladder.sizes:
        lines += _of_size(data, incomplete_lines(data))
    return lines


def _how_to_run(ladder: Ladder, size: str) -> str:
    """Return how to run another size as the recorded ones were run."""
    known = ladder.sizes[0]
    command = sweep_command(known.record.sweep, known.sweeps_dir, size=size)
    return (
        f"run `{command}`" if command else "no sweep file gives the declaration of the others now"
    )


def _warnings(ladder: Ladder) -> Iterator[str]:
    for data in ladder.sizes:
        yield from _of_size(data, warning_lines(data))


def _of_size(data: ReportData, lines: Sequence[str]) -> Iterator[str]:
    """Yield lines with their size, after the word that makes them loud."""
    for line in lines:
        word, _, rest = line.partition(":")
        yield f"{word}: size {data.record.sweep.size}:{rest}"


def _explanations(ladder: Ladder) -> Iterator[str]:
    yield (
        f"Training MACs are those of the whole model by the {CONVENTION} convention, forward and "
        "backward (three times forward), over all tokens of the training."
    )
    baseline = ladder.models[0].name
    yield (
        f"Compute multiplier: the training MACs at which {baseline} reaches the model's loss, over "
        f"the model's own; above 1, the model needs less. The MACs of {baseline} are interpolated "
        f"between its sizes, linearly in the logarithms of loss and MACs, and never extrapolated: "
        f'"{_NOT_ENCLOSED}" means that no two of its sizes enclose the loss.'
    )
    yield (
        "Power law: loss = scale x MACs^-exponent by least squares in logarithms, without an "
        "irreducible loss: a description of these sizes, not a prediction for others."
    )
    seeds = {len(row.model.counted) for model in ladder.models for row in model.rows}
    fewest = min(seeds)
    if fewest < 2:
        yield "Intervals need at least two seeds of every size."
    else:
        yield f"Intervals: 95 %, bootstrap over seeds (n={fewest} or more)." + (
            " With so few seeds they are rough." if fewest < _FEW_SEEDS else ""
        )


def _interval_text(interval: tuple[float, float] | None, decimals: int = 2) -> str:
    if interval is None:
        return ""
    low, high = interval
    return f" [{low:.{decimals}f}, {high:.{decimals}f}]"


def _count(value: float | None, runs: tuple[str, ...]) -> Cell:
    return Cell(MISSING) if value is None else Cell(short_count(value), value, runs=runs)
