"""Rows for the terminal: what a sweep compares, and what it will cost (free of torch)."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from switchhead_lab.budget.costs import attention_macs, attention_memory_floats
from switchhead_lab.budget.matching import baseline_model
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.architecture import DenseAttention, SwitchHeadAttention
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Study, Sweep
from switchhead_lab.sweeping.estimate import (
    Speed,
    estimated_seconds,
    is_done,
    training_macs,
)
from switchhead_lab.sweeping.plan import (
    Infeasible,
    Variant,
    candidate_variants,
    declared_variants,
    run_config,
)
from switchhead_lab.tracking.record import RunRecord

Row = dict[str, Any]


def match_rows(sweep: Sweep, variants: Sequence[Variant | Infeasible]) -> list[Row]:
    """Return one row of plain data for each variant: shape, budget, and ratios to the baseline."""
    return [
        _infeasible_row(sweep, variant)
        if isinstance(variant, Infeasible)
        else _variant_row(sweep, variant)
        for variant in variants
    ]


def match_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells of a table of `match_rows`."""
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
        "x dense",
        "memory",
        "x dense",
    ]
    return columns, [_cells(row) for row in rows]


@dataclass(frozen=True)
class PartCost:
    """Cost of one part of a sweep: a declared model, or the search.

    Attributes:
        name: Name of the model.
        n_runs: Runs, all seeds; for a search every trial to its end and the best's other seeds.
        n_done: Runs that finished or were pruned.
        run_macs: MACs of one run, forward and backward.
        run_seconds: Estimated time of one run; None where nothing was measured.
    """

    name: str
    n_runs: int
    n_done: int
    run_macs: float
    run_seconds: float | None

    @property
    def seconds_left(self) -> float | None:
        """Estimated time of what is not done."""
        if self.run_seconds is None:
            return None
        return self.run_seconds * (self.n_runs - self.n_done)


def part_costs(sweep: Sweep, runs: Sequence[RunRecord], speed: Speed | None) -> list[PartCost]:
    """Return the cost of every part of a sweep, judged by finished runs."""
    costs = [
        _part_cost(
            variant.name,
            [run_config(sweep, variant.model, seed) for seed in variant.seeds],
            runs,
            speed,
        )
        for variant in declared_variants(sweep)
    ]
    if sweep.study is not None:
        costs.append(_study_cost(sweep, sweep.study, runs, speed))
    return costs


def _part_cost(
    name: str, configs: Sequence[RunConfig], runs: Sequence[RunRecord], speed: Speed | None
) -> PartCost:
    seconds = [estimated_seconds(config, speed) for config in configs] if speed else []
    return PartCost(
        name=name,
        n_runs=len(configs),
        n_done=sum(is_done(config, runs) for config in configs),
        run_macs=statistics.fmean(training_macs(config) for config in configs),
        run_seconds=statistics.fmean(seconds) if seconds else None,
    )


def _study_cost(
    sweep: Sweep, study: Study, runs: Sequence[RunRecord], speed: Speed | None
) -> PartCost:
    """Price a search by its first feasible candidates."""
    feasible = [v for v in candidate_variants(sweep, study) if isinstance(v, Variant)]
    configs = [run_config(sweep, variant.model, study.seeds[0]) for variant in feasible]
    if not configs:
        return PartCost(study.name, 0, 0, 0.0, None)
    priced = _part_cost(study.name, configs[: study.n_trials], runs, speed)
    n_done = sum(is_done(config, runs) for config in configs)
    return replace(
        priced,
        n_runs=priced.n_runs + len(study.seeds) - 1,
        n_done=min(n_done, priced.n_runs),
    )


def _variant_row(sweep: Sweep, variant: Variant) -> Row:
    model, baseline = variant.model, baseline_model(sweep)
    attention = model.attention
    macs = attention_macs(model, sweep.convention)
    memory = attention_memory_floats(model, sweep.convention)
    return {
        "model": variant.name,
        "role": variant.role,
        "n_heads": attention.n_heads,
        "n_experts": None if isinstance(attention, DenseAttention) else attention.n_experts,
        "top_k": attention.top_k if isinstance(attention, SwitchHeadAttention) else None,
        "d_head": attention.d_head,
        "d_ff": model.feedforward.d_ff,
        "parameters": count_parameters(model, sweep.data.tokenizer.vocab_size).total,
        "parameters_difference": variant.residual.parameters,
        "parameters_difference_fraction": variant.residual.parameters_fraction,
        "convention": sweep.convention,
        "attention_macs": macs,
        "attention_macs_ratio": macs / attention_macs(baseline, sweep.convention),
        "attention_memory_floats": memory,
        "attention_memory_ratio": memory / attention_memory_floats(baseline, sweep.convention),
        "infeasible": None,
    }


def _infeasible_row(sweep: Sweep, infeasible: Infeasible) -> Row:
    n_heads, n_experts, top_k = infeasible.shape
    assert sweep.study is not None, "only a search has infeasible candidates"
    return {
        "model": sweep.study.name,
        "role": "candidate",
        "n_heads": n_heads,
        "n_experts": n_experts,
        "top_k": top_k,
        "infeasible": infeasible.reason,
    }


def _cells(row: Row) -> list[str]:
    head = [
        row["model"],
        row["role"],
        *("-" if row[key] is None else str(row[key]) for key in ("n_heads", "n_experts", "top_k")),
    ]
    if row["infeasible"] is not None:
        return [*head, *["-"] * 2, "infeasible", *["-"] * 5]
    return [
        *head,
        str(row["d_head"]),
        str(row["d_ff"]),
        f"{row['parameters']:,}",
        f"{row['parameters_difference']:+,} ({100 * row['parameters_difference_fraction']:+.3f} %)",
        short_count(row["attention_macs"]),
        f"{row['attention_macs_ratio']:.3f}",
        short_count(row["attention_memory_floats"]),
        f"{row['attention_memory_ratio']:.3f}",
    ]


def short_count(value: float) -> str:
    """Write a count with four digits and a unit: 170.4M, 2.358G."""
    for factor, unit in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:#.4g}{unit}"
    return f"{value:.4g}"


def short_time(seconds: float | None) -> str:
    """Write a duration: 45 s, 12 min, 3.2 h; a question mark for an unknown one."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
