"""Rows for the terminal: what a sweep compares, and what it will cost (free of torch)."""

from collections.abc import Sequence
from typing import Any

from switchhead_lab.budget.costs import attention_macs, attention_memory_floats
from switchhead_lab.budget.matching import baseline_model
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.architecture import DenseAttention, SwitchHeadAttention
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.sweeping.estimate import Speed, estimated_seconds, is_done
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


def cost_rows(
    sweep: Sweep, runs: Sequence[RunRecord], speed: Speed | None
) -> list[tuple[str, int, int, float | None, float | None]]:
    """Return, for each part of a sweep: name, runs, runs done, seconds a run, seconds left.

    The search is counted at its largest: every trial to the end, then the best's other seeds.
    Its candidates are priced like those to be tried first, or like the first feasible ones.
    """
    rows = []
    for variant in declared_variants(sweep):
        configs = [run_config(sweep, variant.model, seed) for seed in variant.seeds]
        n_done = sum(is_done(config, runs) for config in configs)
        seconds = estimated_seconds(configs[0], speed) if speed else None
        left = seconds * (len(configs) - n_done) if seconds is not None else None
        rows.append((variant.name, len(configs), n_done, seconds, left))
    if sweep.study is not None:
        rows.append(_study_cost(sweep, runs, speed))
    return rows


def _study_cost(
    sweep: Sweep, runs: Sequence[RunRecord], speed: Speed | None
) -> tuple[str, int, int, float | None, float | None]:
    study = sweep.study
    assert study is not None, "called for sweeps with a search"
    feasible = [v for v in candidate_variants(sweep, study) if isinstance(v, Variant)]
    configs = [run_config(sweep, variant.model, study.seeds[0]) for variant in feasible]
    n_done = min(study.n_trials, sum(is_done(config, runs) for config in configs))
    n_runs = min(study.n_trials, len(configs)) + len(study.seeds) - 1
    if speed is None or not configs:
        return study.name, n_runs, n_done, None, None
    priced = configs[: study.n_trials]
    seconds = sum(estimated_seconds(config, speed) for config in priced) / len(priced)
    return study.name, n_runs, n_done, seconds, seconds * (n_runs - n_done)


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
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
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
