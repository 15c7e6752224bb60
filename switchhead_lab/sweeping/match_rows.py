"""What a sweep compares, as plain data: a row for each model (free of torch)."""

from collections.abc import Sequence
from typing import Any

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.matching import baseline_model
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.budget.residual import Difference
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.sweeping.costing import find_counter
from switchhead_lab.sweeping.plan import Infeasible, Variant

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
