"""Give every model the dense baseline's budget before anything trains.

Source: SwitchHead (arXiv:2312.07987), Sec. 3 (parameter-matched) and Sec. 3.5 (MAC-matched).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from switchhead_lab.budget.costs import attention_macs
from switchhead_lab.budget.parameters import attention_parameters, count_parameters
from switchhead_lab.config.architecture import (
    AttentionConfig,
    DenseAttention,
    DenseFeedForward,
    ModelConfig,
    SwitchHeadAttention,
    SwitchHeadShape,
)
from switchhead_lab.config.sweep import Convention, Sweep
from switchhead_lab.errors import MatchError

AttentionT = TypeVar("AttentionT", DenseAttention, SwitchHeadAttention)

D_HEAD_MULTIPLE = 4


@dataclass(frozen=True)
class MatchResidual:
    """What a matched model has more (or, negative, less) than the baseline.

    Attributes:
        parameters: Difference in parameters.
        parameters_fraction: The same over the baseline's parameters.
        macs: Difference in MACs per attention layer and sequence.
        macs_fraction: The same over the baseline's MACs.
    """

    parameters: int
    parameters_fraction: float
    macs: int
    macs_fraction: float


def match_residual(
    model: ModelConfig, baseline: ModelConfig, vocab_size: int, convention: Convention
) -> MatchResidual:
    """Compare a model's budget with the baseline's."""
    base_parameters = count_parameters(baseline, vocab_size).total
    parameters = count_parameters(model, vocab_size).total - base_parameters
    base_macs = attention_macs(baseline, convention)
    macs = attention_macs(model, convention) - base_macs
    return MatchResidual(parameters, parameters / base_parameters, macs, macs / base_macs)


def match_heads(baseline: ModelConfig, n_heads: int) -> ModelConfig:
    """Return the dense model with `n_heads` heads and the baseline's parameters.

    d_head becomes the largest width at which attention has no more parameters than the baseline's;
    what is left goes to d_ff.

    Raises:
        MatchError: If no head width of at least 1 fits.
    """
    attention = _widest(
        lambda d_head: DenseAttention(n_heads=n_heads, d_head=d_head),
        lambda attention: _attention_total(attention, baseline) <= _baseline_total(baseline),
        multiple=1,
    )
    if attention is None:
        raise MatchError(
            f"dense attention with n_heads={n_heads} has more parameters than the baseline's at "
            f"every d_head; use fewer heads than {n_heads}"
        )
    return _spend_rest_on_feedforward(baseline, attention)


def match_parameters(baseline: ModelConfig, candidate: SwitchHeadShape) -> ModelConfig:
    """Return the SwitchHead model of this shape with the baseline's parameters.

    d_head is the largest multiple of 4 at which attention has no more parameters than the
    baseline's; what is left goes to d_ff.

    Source: SwitchHead (arXiv:2312.07987), Sec. 3; reproduces the d_head of its Table 9.

    Raises:
        MatchError: If attention is too large even at d_head 4.
    """
    attention = _widest(
        lambda d_head: _switchhead(candidate, d_head),
        lambda attention: _attention_total(attention, baseline) <= _baseline_total(baseline),
        multiple=D_HEAD_MULTIPLE,
    )
    if attention is None:
        raise MatchError(
            f"{_describe(candidate)}: at d_head={D_HEAD_MULTIPLE} attention has "
            f"{_attention_total(_switchhead(candidate, D_HEAD_MULTIPLE), baseline):,} parameters, "
            f"the baseline's {_baseline_total(baseline):,}; use fewer heads or experts"
        )
    return _spend_rest_on_feedforward(baseline, attention)


def match_macs(
    baseline: ModelConfig, candidate: SwitchHeadShape, convention: Convention
) -> ModelConfig:
    """Return the SwitchHead model of this shape with the baseline's attention MACs.

    d_head is the largest multiple of 4 at which attention costs no more MACs than the baseline's;
    the feed-forward block stays the baseline's, so parameters grow.

    Source: SwitchHead (arXiv:2312.07987), Sec. 3.5; reproduces its d_head 112 and 168.

    Raises:
        MatchError: If attention costs too much even at d_head 4.
    """
    budget = attention_macs(baseline, convention)

    def macs(attention: AttentionConfig) -> int:
        return attention_macs(baseline.model_copy(update={"attention": attention}), convention)

    attention = _widest(
        lambda d_head: _switchhead(candidate, d_head),
        lambda attention: macs(attention) <= budget,
        multiple=D_HEAD_MULTIPLE,
    )
    if attention is None:
        raise MatchError(
            f"{_describe(candidate)}: at d_head={D_HEAD_MULTIPLE} attention costs "
            f"{macs(_switchhead(candidate, D_HEAD_MULTIPLE)):,} MACs ({convention}), "
            f"the baseline's {budget:,}; use fewer heads or a smaller top_k"
        )
    return baseline.model_copy(update={"attention": attention})


def baseline_model(sweep: Sweep) -> ModelConfig:
    """Return the dense baseline of a sweep."""
    frame, baseline = sweep.model, sweep.baseline
    return ModelConfig(
        d_model=frame.d_model,
        n_layers=frame.n_layers,
        seq_len=frame.seq_len,
        context_multiple=frame.context_multiple,
        positions=frame.positions,
        attention=DenseAttention(n_heads=baseline.n_heads, d_head=baseline.d_head),
        feedforward=DenseFeedForward(d_ff=baseline.d_ff, p_dropout=frame.p_dropout),
    )


def match_candidate(sweep: Sweep, candidate: SwitchHeadShape) -> ModelConfig:
    """Return the SwitchHead model of this shape under the sweep's matching rule.

    Raises:
        MatchError: If there is none.
    """
    baseline = baseline_model(sweep)
    if sweep.matching == "mac_matched":
        return match_macs(baseline, candidate, sweep.convention)
    return match_parameters(baseline, candidate)


def _switchhead(candidate: SwitchHeadShape, d_head: int) -> SwitchHeadAttention:
    return SwitchHeadAttention(
        n_heads=candidate.n_heads,
        d_head=d_head,
        n_experts=candidate.n_experts,
        top_k=candidate.top_k,
    )


def _describe(candidate: SwitchHeadShape) -> str:
    return f"n_heads={candidate.n_heads}, n_experts={candidate.n_experts}, top_k={candidate.top_k}"


def _widest(
    build: Callable[[int], AttentionT], fits: Callable[[AttentionT], bool], *, multiple: int
) -> AttentionT | None:
    """Return the attention with the largest d_head that fits; costs grow with d_head."""
    if not fits(build(multiple)):
        return None
    low, high = 1, 2
    while fits(build(high * multiple)):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(build(middle * multiple)) else (low, middle)
    return build(low * multiple)


def _attention_total(attention: AttentionConfig, model: ModelConfig) -> int:
    return sum(attention_parameters(attention, model.positions, model.d_model).values())


def _baseline_total(baseline: ModelConfig) -> int:
    return _attention_total(baseline.attention, baseline)


def _spend_rest_on_feedforward(baseline: ModelConfig, attention: AttentionConfig) -> ModelConfig:
    feedforward = baseline.feedforward
    assert isinstance(feedforward, DenseFeedForward), "the baseline of a sweep is dense"
    rest = _baseline_total(baseline) - _attention_total(attention, baseline)
    parameters_per_unit = 2 * baseline.d_model + 1
    d_ff = feedforward.d_ff + rest // parameters_per_unit
    return baseline.model_copy(
        update={
            "attention": attention,
            "feedforward": feedforward.model_copy(update={"d_ff": d_ff}),
        }
    )
