"""The models of a sweep as plain data, one row each (free of torch)."""

from collections.abc import Sequence
from typing import Any

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.matching import baseline_model
from switchhead_lab.budget.model_costs import ModelCosts
from switchhead_lab.budget.residual import (
    Difference,
    budget_fraction,
    describe_off_budget,
    difference,
)
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.sweeping.costing import find_counter
from switchhead_lab.sweeping.plan import Infeasible, Variant, costs_of

Row = dict[str, Any]


def match_rows(
    sweep: Sweep, variants: Sequence[Variant | Infeasible], counter: CostCounter | None = None
) -> list[Row]:
    """Return one row of plain data per variant: shape, budget, and difference to the baseline.

    Args:
        sweep: The sweep.
        variants: Its models, matched with the same counter.
        counter: Counts MACs and memory; by default the sweep's convention.
    """
    counter = counter or find_counter(sweep.convention)
    models = [variant for variant in variants if isinstance(variant, Variant)]
    own = {variant.rule.convention for variant in models if variant.rule is not None}
    counters = {name: find_counter(name) for name in own} | {counter.convention: counter}

    def count(model: ModelConfig) -> ModelCosts:
        """Count by every closed-form convention and by those that models are matched by."""
        known = {name: find_counter(name) for name in model.conventions} | counters
        return costs_of(sweep, model, known.values(), counter.convention)

    baseline = count(baseline_model(sweep))
    return [
        _infeasible_row(variant)
        if isinstance(variant, Infeasible)
        else _variant_row(variant, count(variant.model), baseline)
        for variant in variants
    ]


def _variant_row(variant: Variant, costs: ModelCosts, baseline: ModelCosts) -> Row:
    model, convention = variant.model, costs.convention
    matched, rule = variant.matched, variant.rule
    own = rule.convention if rule else convention
    fraction = budget_fraction(costs, baseline, matched, own) if matched else 0.0
    per_token, base_per_token = (c.model_macs_per_token(convention) for c in (costs, baseline))
    assert per_token is not None, "the matching convention defines the model's costs"
    assert base_per_token is not None, "every convention defines the costs of dense models"
    parameters = difference(costs.n_parameters, baseline.n_parameters)
    attention_macs = difference(costs.macs, baseline.macs)
    layer_macs = difference(costs.matched_layer_macs, baseline.matched_layer_macs)
    attention, feedforward = model.attention, model.feedforward
    heads, sparse = attention.experts, feedforward.experts
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
        "matched": matched,
        "matched_convention": own if matched else None,
        "off_budget": describe_off_budget(matched, fraction, own),
        "parameters": costs.n_parameters,
        **_difference("parameters", parameters),
        "active_parameters": costs.n_active_parameters,
        "active_parameters_ratio": costs.n_active_parameters / baseline.n_active_parameters,
        "convention": convention,
        "attention_macs": costs.macs,
        "attention_macs_ratio": 1.0 + attention_macs.fraction,
        **_difference("attention_macs", attention_macs),
        "layer_macs": costs.matched_layer_macs,
        "layer_macs_ratio": 1.0 + layer_macs.fraction,
        **_difference("layer_macs", layer_macs),
        "model_macs_per_token": per_token,
        "model_macs_per_token_ratio": per_token / base_per_token,
        "output_macs_per_token": costs.output_macs_per_token,
        "attention_memory_floats": costs.memory_floats,
        "attention_memory_ratio": costs.memory_floats / baseline.memory_floats,
        "initial_weights": variant.source,
        "costs": costs.by_convention(),
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
