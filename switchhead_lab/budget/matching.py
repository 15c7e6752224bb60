"""Matches every model to the dense baseline's budget before training.

One solver serves every rule: it finds the largest value of one free size at which a quantity (the
parameters or MACs of attention or of a layer) does not exceed the baseline's.

Source: SwitchHead (arXiv:2312.07987), Sec. 3 (parameter-matched) and Sec. 3.5 (MAC-matched).
"""

from collections.abc import Iterable

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.infeasibility import (
    explain_bound,
    explain_excess,
    explain_no_effect,
    has_effect,
)
from switchhead_lab.budget.quantity import (
    BudgetedQuantity,
    MatchedQuantity,
    Scope,
    macs_of,
    parameters_of,
)
from switchhead_lab.budget.sizes import (
    ModelSize,
    find_size,
    largest_that_fits,
)
from switchhead_lab.config.architecture import AttentionConfig, ModelConfig
from switchhead_lab.config.declared import DEFAULT_SIZE, DeclaredModel
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import MatchError, UndefinedCostError
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.positions import PositionsConfig


def match_size(
    size: ModelSize, model: ModelConfig, budgeted: BudgetedQuantity, baseline: ModelConfig
) -> ModelConfig:
    """Return the model with the largest value of a size that the baseline's budget allows.

    Args:
        size: The free size.
        model: All other sizes; its value of the free size is replaced.
        budgeted: The quantity that must not exceed the baseline's.
        baseline: The dense baseline.

    Raises:
        MatchError: If the quantity does not depend on the size, exceeds the budget at the smallest
            value, or stays far below it because another size limits the value.
    """
    if not has_effect(size, model, budgeted):
        raise MatchError(explain_no_effect(size, model, budgeted))
    budget = budgeted.count(baseline)
    near = _estimate(size, model, budgeted, budget)
    matched = largest_that_fits(size, model, lambda m: budgeted.count(m) <= budget, near)
    if matched is None:
        raise MatchError(explain_excess(size, model, budgeted, baseline))
    reason = explain_bound(size, matched, budgeted, baseline)
    if reason is not None:
        raise MatchError(reason)
    return matched


def _estimate(size: ModelSize, model: ModelConfig, budgeted: BudgetedQuantity, budget: int) -> int:
    """Estimate the value of a size that meets the budget, by linear extrapolation."""
    first = size.smallest(model)
    second = first + max(size.step(model), size.executed_step(model))
    largest = size.largest(model)
    if largest is not None and second > largest:
        return first
    low, high = (budgeted.count(size.at(model, value)) for value in (first, second))
    return first + (budget - low) * (second - first) // (high - low) if high > low else first


def match_heads(baseline: ModelConfig, n_heads: int) -> ModelConfig:
    """Return the dense model with `n_heads` heads and the baseline's parameters.

    d_head becomes the largest width at which attention has no more parameters than the baseline's;
    d_ff takes the rest of the budget.

    Raises:
        MatchError: If no head width of at least 1 fits.
    """
    return match_parameters(baseline, DenseAttention(n_heads=n_heads, d_head=1))


def match_parameters(
    baseline: ModelConfig,
    attention: AttentionConfig,
    size: str = DEFAULT_SIZE,
    positions: PositionsConfig | None = None,
) -> ModelConfig:
    """Return the model with this attention and the baseline's parameters.

    The free size takes the largest value at which attention has no more parameters than the
    baseline's (for d_head of SwitchHead and MoA a multiple of 4); d_ff takes the rest.

    Source: SwitchHead (arXiv:2312.07987), Sec. 3; reproduces the d_head of its Table 9.

    Args:
        baseline: The dense baseline.
        attention: Heads, experts and options; its value of the free size is replaced.
        size: Label of the free size of attention.
        positions: Position encoding; by default the baseline's.

    Raises:
        MatchError: If there is no such model.
    """
    model = _with_attention(baseline, attention, positions)
    matched = match_size(_size(model, size), model, parameters_of("attention"), baseline)
    return _spend_rest_on_feedforward(matched, baseline)


def match_macs(
    baseline: ModelConfig,
    attention: AttentionConfig,
    counter: CostCounter,
    size: str = DEFAULT_SIZE,
    positions: PositionsConfig | None = None,
) -> ModelConfig:
    """Return the model with this attention and the baseline's attention MACs.

    The free size takes the largest value at which attention costs no more MACs than the
    baseline's; the feed-forward block stays the baseline's, so parameters grow.

    Source: SwitchHead (arXiv:2312.07987), Sec. 3.5; reproduces its d_head 112 and 168.

    Args:
        baseline: The dense baseline.
        attention: Heads, experts and options; its value of the free size is replaced.
        counter: Counts MACs.
        size: Label of the free size of attention.
        positions: Position encoding; by default the baseline's.

    Raises:
        MatchError: If there is no such model.
    """
    model = _with_attention(baseline, attention, positions)
    return match_size(_size(model, size), model, macs_of("attention", counter), baseline)


def baseline_model(sweep: Sweep) -> ModelConfig:
    """Return the dense baseline of a sweep."""
    frame, baseline = sweep.model, sweep.baseline
    return ModelConfig(
        d_model=frame.d_model,
        n_layers=frame.n_layers,
        seq_len=frame.seq_len,
        context_multiple=frame.context_multiple,
        direction=frame.direction,
        positions=frame.positions,
        attention=DenseAttention(n_heads=baseline.n_heads, d_head=baseline.d_head),
        feedforward=DenseFeedForward(d_ff=baseline.d_ff, p_dropout=frame.p_dropout),
    )


def match_declared(sweep: Sweep, declared: DeclaredModel, counter: CostCounter) -> ModelConfig:
    """Return the model that a sweep declares, under its own matching rule or the sweep's.

    First attention is matched over its free size, if any. Then a declared sigma-MoE replaces the
    feed-forward block and is matched over its free size, if any.

    Args:
        sweep: The sweep.
        declared: One of its models.
        counter: Counts MACs by the rule's convention.

    Raises:
        MatchError: If there is no such model.
    """
    baseline = baseline_model(sweep)
    positions = declared.positions
    model = _with_attention(baseline, declared.attention, positions)
    free, matching = declared.open_in_attention, sweep.rule_of(declared).matching
    if free is not None:
        keeps_parameters = free in model.attention.keep_parameters_over
        if keeps_parameters or matching == "parameter_matched":
            model = match_parameters(baseline, model.attention, free, positions)
        else:
            model = match_macs(baseline, model.attention, counter, free, positions)
    if declared.feedforward is not None:
        model = model.model_copy(update={"feedforward": declared.feedforward.complete()})
    size = _size(model, declared.match_over)
    if size.block == "feedforward":
        model = match_size(size, model, _quantity(matching, "layer", counter), baseline)
    return model


def matched_quantity(matching: str, model: ModelConfig, size: str) -> MatchedQuantity:
    """Return the quantity that a model's budgeted size was matched by.

    Args:
        matching: "parameter_matched" or "mac_matched".
        model: The model.
        size: Label of the matched size.
    """
    keeps_parameters = size in model.attention.keep_parameters_over
    if keeps_parameters or matching == "parameter_matched":
        return "parameters"
    return "attention_macs" if _size(model, size).block == "attention" else "layer_macs"


def sizes_by_convention(
    baseline: ModelConfig,
    model: ModelConfig,
    size: str,
    matched: MatchedQuantity,
    counters: Iterable[CostCounter],
) -> dict[str, int]:
    """Return the value of a model's matched size under the MACs of each convention.

    Args:
        baseline: The dense baseline.
        model: The model.
        size: Label of the matched size.
        matched: The quantity that it was matched by.
        counters: Counters of MACs; those that give no model are skipped.
    """
    if matched == "parameters":
        return {}
    scope: Scope = "attention" if matched == "attention_macs" else "layer"
    free, values = _size(model, size), {}
    for counter in counters:
        try:
            found = match_size(free, model, macs_of(scope, counter), baseline)
        except (MatchError, UndefinedCostError):
            continue
        values[counter.convention] = free.value(found)
    return values


def _quantity(matching: str, scope: Scope, counter: CostCounter) -> BudgetedQuantity:
    if matching == "parameter_matched":
        return parameters_of(scope)
    return macs_of(scope, counter)


def _with_attention(
    model: ModelConfig, attention: AttentionConfig, positions: PositionsConfig | None
) -> ModelConfig:
    update = {"attention": attention, "positions": positions or model.positions}
    return model.model_copy(update=update)


def _spend_rest_on_feedforward(model: ModelConfig, baseline: ModelConfig) -> ModelConfig:
    assert isinstance(model.feedforward, DenseFeedForward), "the baseline of a sweep is dense"
    return match_size(_size(model, "d_ff"), model, parameters_of("layer"), baseline)


def _size(model: ModelConfig, label: str) -> ModelSize:
    size = find_size(model, label)
    assert size is not None, f"the model has no {label}"
    return size
