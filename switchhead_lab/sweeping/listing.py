"""Rows for the terminal: what a sweep compares, and what it will cost (free of torch)."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.matching import baseline_model
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.budget.residual import Difference
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.search import Study
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.sweeping.costing import find_counter
from switchhead_lab.sweeping.estimate import (
    Speed,
    Speeds,
    estimated_seconds,
    is_done,
    speed_here,
    training_macs,
)
from switchhead_lab.sweeping.plan import (
    Infeasible,
    Variant,
    config_of,
    declared_variants,
    listed_candidates,
)
from switchhead_lab.tracking.record import RunRecord

Row = dict[str, Any]


def match_rows(
    sweep: Sweep, variants: Sequence[Variant | Infeasible], counter: CostCounter | None = None
) -> list[Row]:
    """Return one row of plain data for each variant: shape, budget, and distance to the baseline.

    Args:
        sweep: The sweep.
        variants: Its models, matched with the same counter.
        counter: Counts MACs and memory; by the sweep's convention if left out.
    """
    counter = counter or find_counter(sweep.convention)
    return [
        _infeasible_row(variant)
        if isinstance(variant, Infeasible)
        else _variant_row(sweep, variant, counter)
        for variant in variants
    ]


def match_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells of a table of `match_rows`.

    MACs are those of attention. Where a model was matched over its feed-forward, and so by the
    whole layer, the MACs of the layer replace memory: both would be too wide.
    """
    columns = [
        "model",
        "role",
        "heads",
        "experts",
        "k",
        "d_head",
        "d_ff",
        "parameters",
        "difference",
        "MACs",
        "difference",
    ]
    shows_layer = any(row.get("matched_by") == "layer" for row in rows)
    columns += ["layer", "difference"] if shows_layer else ["memory", "x dense"]
    return columns, [_cells(row, shows_layer=shows_layer) for row in rows]


@dataclass(frozen=True)
class PartCost:
    """Cost of one part of a sweep: a declared model, or the search.

    Attributes:
        name: Name of the model.
        n_runs: Runs, all seeds; for a search every trial to its end and the best's other seeds.
        n_done: Runs that finished or were pruned.
        run_macs: MACs of one run, forward and backward.
        run_seconds: Estimated time of one run on this machine; None where nothing was measured.
        run_cpu_seconds: Estimated time of one run on a CPU; None where nothing was measured.
        run_gpu_seconds: Estimated time of one run on a GPU; None where nothing was measured.
    """

    name: str
    n_runs: int
    n_done: int
    run_macs: float
    run_seconds: float | None
    run_cpu_seconds: float | None
    run_gpu_seconds: float | None

    @property
    def seconds_left(self) -> float | None:
        """Estimated time of what is not done, on this machine."""
        if self.run_seconds is None:
            return None
        return self.run_seconds * (self.n_runs - self.n_done)

    @property
    def cpu_hours(self) -> float | None:
        """Estimated time of all runs on a CPU."""
        return None if self.run_cpu_seconds is None else self.run_cpu_seconds * self.n_runs / 3600

    @property
    def gpu_hours(self) -> float | None:
        """Estimated time of all runs on a GPU."""
        return None if self.run_gpu_seconds is None else self.run_gpu_seconds * self.n_runs / 3600


def part_costs(sweep: Sweep, runs: Sequence[RunRecord], speeds: Speeds) -> list[PartCost]:
    """Return the cost of every part of a sweep, judged by finished runs."""
    costs = [
        _part_cost(variant, [config_of(sweep, variant, s) for s in variant.seeds], runs, speeds)
        for variant in declared_variants(sweep)
    ]
    return costs + [_study_cost(sweep, study, runs, speeds) for study in sweep.studies]


def _part_cost(
    variant: Variant, configs: Sequence[RunConfig], runs: Sequence[RunRecord], speeds: Speeds
) -> PartCost:
    has_source = variant.source is not None
    return PartCost(
        name=variant.name,
        n_runs=len(configs),
        n_done=sum(is_done(config, runs, has_source=has_source) for config in configs),
        run_macs=statistics.fmean(training_macs(config) for config in configs),
        run_seconds=_mean_seconds(configs, speed_here(speeds)),
        run_cpu_seconds=_mean_seconds(configs, speeds.get("cpu")),
        run_gpu_seconds=_mean_seconds(configs, speeds.get("gpu")),
    )


def _mean_seconds(configs: Sequence[RunConfig], speed: Speed | None) -> float | None:
    if speed is None:
        return None
    return statistics.fmean(estimated_seconds(config, speed) for config in configs)


def _study_cost(sweep: Sweep, study: Study, runs: Sequence[RunRecord], speeds: Speeds) -> PartCost:
    """Price a search by its first feasible candidates."""
    feasible = [v for v in listed_candidates(sweep, study) if isinstance(v, Variant)]
    configs = [config_of(sweep, variant, study.seeds[0]) for variant in feasible]
    if not configs:
        return PartCost(study.name, 0, 0, 0.0, None, None, None)
    priced = _part_cost(feasible[0], configs[: study.n_trials], runs, speeds)
    has_source = feasible[0].source is not None
    n_done = sum(is_done(config, runs, has_source=has_source) for config in configs)
    return replace(
        priced,
        n_runs=priced.n_runs + len(study.seeds) - 1,
        n_done=min(n_done, priced.n_runs),
    )


def _variant_row(sweep: Sweep, variant: Variant, counter: CostCounter) -> Row:
    model, residual = variant.model, variant.residual
    attention, feedforward = model.attention, model.feedforward
    heads, sparse = attention.experts, feedforward.experts
    macs, memory = counter.attention_macs(model), counter.attention_memory_floats(model)
    base_memory = counter.attention_memory_floats(baseline_model(sweep))
    return {
        "model": variant.name,
        "role": variant.role,
        "n_heads": attention.n_heads,
        "n_experts": heads.n_experts if heads else None,
        "top_k": heads.n_chosen if heads else None,
        "d_head": attention.d_head,
        "d_ff": feedforward.width,
        "feedforward_n_experts": sparse.n_experts if sparse else None,
        "d_expert": sparse.width if sparse else None,
        "matched_over": variant.matched_over,
        "matched_by": variant.matched_by,
        "parameters": count_parameters(model, sweep.vocab_size, sweep.n_outputs).total,
        **_difference("parameters", residual.parameters),
        "convention": counter.convention,
        "attention_macs": macs,
        "attention_macs_ratio": 1.0 + residual.attention_macs.fraction,
        **_difference("attention_macs", residual.attention_macs),
        "layer_macs": counter.layer_macs(model),
        **_difference("layer_macs", residual.layer_macs),
        "attention_memory_floats": memory,
        "attention_memory_ratio": memory / base_memory,
        "initial_weights": variant.source,
        "searched": variant.point,
        "infeasible": None,
    }


def _difference(name: str, difference: Difference) -> Row:
    return {
        f"{name}_difference": difference.absolute,
        f"{name}_difference_fraction": difference.fraction,
    }


def _infeasible_row(infeasible: Infeasible) -> Row:
    point = infeasible.point
    return {
        "model": infeasible.name,
        "role": "candidate",
        **{key: point.get(key) for key in ("n_heads", "n_experts", "top_k")},
        "searched": point,
        "infeasible": infeasible.reason,
    }


def _cells(row: Row, *, shows_layer: bool) -> list[str]:
    head = [
        row["model"],
        row["role"],
        *("-" if row[key] is None else str(row[key]) for key in ("n_heads", "n_experts", "top_k")),
    ]
    if row["infeasible"] is not None:
        return [*head, *["-"] * 2, "infeasible", *["-"] * 5]
    d_expert, n_experts = row["d_expert"], row["feedforward_n_experts"]
    layer = [short_count(row["layer_macs"]), _macs_difference(row, "layer_macs")]
    memory = [
        short_count(row["attention_memory_floats"]),
        f"{row['attention_memory_ratio']:.3f}",
    ]
    return [
        *head,
        str(row["d_head"]),
        str(row["d_ff"]) if d_expert is None else f"{n_experts}x{d_expert}",
        f"{row['parameters']:,}",
        f"{row['parameters_difference']:+,} ({100 * row['parameters_difference_fraction']:+.3f} %)",
        short_count(row["attention_macs"]),
        _macs_difference(row, "attention_macs"),
        *(layer if shows_layer else memory),
    ]


def _macs_difference(row: Row, name: str) -> str:
    difference, fraction = row[f"{name}_difference"], row[f"{name}_difference_fraction"]
    sign = "-" if difference < 0 else "+"
    return f"{sign}{short_count(abs(difference))} ({100 * fraction:+.1f} %)"


def short_count(value: float) -> str:
    """Write a count with four digits and a unit: 170.4M, 2.358G."""
    for factor, unit in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:#.4g}{unit}"
    return f"{value:.4g}"


def short_time(seconds: float | None) -> str:
    """Write a duration: 45 s, 12 min, 3.2 h, 18 d, 2.7 y; a question mark for an unknown one."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    if hours < 72:
        return f"{hours:.1f} h"
    days = hours / 24
    return f"{days:.0f} d" if days < 700 else f"{days / 365:.1f} y"


def short_hours(hours: float | None) -> str:
    """Write hours without their unit: <0.01, 0.25, 3.2, 412, 43.1k; "?" for unknown ones."""
    if hours is None:
        return "?"
    for factor, unit in ((1e6, "M"), (1e3, "k"), (1.0, "")):
        if hours >= factor:
            n_decimals = 1 if hours < 100 * factor else 0
            return f"{hours / factor:.{n_decimals}f}{unit}"
    return "<0.01" if 0 < hours < 0.01 else f"{hours:.2f}"
