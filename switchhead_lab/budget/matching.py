"""Give every model the dense baseline's budget before anything trains.

Source: SwitchHead (arXiv:2312.07987), Sec. 3 (parameter-matched) and Sec. 3.5 (MAC-matched).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, assert_never, cast

from switchhead_lab.budget.costs import attention_macs
from switchhead_lab.budget.parameters import attention_parameters, count_parameters
from switchhead_lab.config.architecture import (
    AttentionConfig,
    DenseAttention,
    DenseFeedForward,
    MoaAttention,
    ModelConfig,
    SwitchHeadAttention,
    SwitchHeadShape,
)
from switchhead_lab.config.sweep import (
    Convention,
    DeclaredModel,
    HeadMatchedModel,
    MoaModel,
    Sweep,
    SwitchHeadModel,
)
from switchhead_lab.errors import MatchError

AttentionT = TypeVar("AttentionT", bound=DenseAttention | SwitchHeadAttention | MoaAttention)

D_HEAD_MULTIPLE = 4


@dataclass(frozen=True)
class MatchResidual:
    """What a matched model has more (or, negative, less) than the baseline.

    Attributes:
        parameters: Difference in parameters.
        parameters_fraction: The same over the baseline's parameters.
    """

    parameters: int
    parameters_fraction: float


def match_residual(model: ModelConfig, baseline: ModelConfig, vocab_size: int) -> MatchResidual:
    """Compare a model's parameters with the baseline's."""
    base = count_parameters(baseline, vocab_size).total
    difference = count_parameters(model, vocab_size).total - base
    return MatchResidual(difference, difference / base)


def match_heads(baseline: ModelConfig, n_heads: int) -> ModelConfig:
    """Return the dense model with `n_heads` heads and the baseline's parameters.

    d_head becomes the largest width at which attention has no more parameters than the baseline's;
    what is left goes to d_ff.

    Raises:
        MatchError: If no head width of at least 1 fits.
    """
    attention = _widest(DenseAttention(n_heads=n_heads, d_head=1), _within_parameters(baseline), 1)
    if attention is None:
        raise MatchError(
            f"dense attention with n_heads={n_heads} has more parameters than the baseline's at "
            f"every d_head; use fewer heads than {n_heads}"
        )
    return _spend_rest_on_feedforward(baseline, attention)


def match_parameters(
    baseline: ModelConfig, attention: SwitchHeadAttention | MoaAttention
) -> ModelConfig:
    """Return the model with this attention, widened or narrowed to the baseline's parameters.

    d_head is the largest multiple of 4 at which attention has no more parameters than the
    baseline's; what is left goes to d_ff.

    Source: SwitchHead (arXiv:2312.07987), Sec. 3; reproduces the d_head of its Table 9.

    Args:
        baseline: The dense baseline.
        attention: Heads, experts and options; its d_head is replaced.

    Raises:
        MatchError: If attention is too large even at d_head 4.
    """
    widest = _widest(attention, _within_parameters(baseline), D_HEAD_MULTIPLE)
    if widest is None:
        smallest = attention.model_copy(update={"d_head": D_HEAD_MULTIPLE})
        raise MatchError(
            f"{_describe(attention)}: at d_head={D_HEAD_MULTIPLE} attention has "
            f"{_attention_total(smallest, baseline):,} parameters, the baseline's "
            f"{_attention_total(baseline.attention, baseline):,}; use fewer heads or experts"
        )
    return _spend_rest_on_feedforward(baseline, widest)


def match_macs(
    baseline: ModelConfig, attention: SwitchHeadAttention | MoaAttention, convention: Convention
) -> ModelConfig:
    """Return the model with this attention, widened or narrowed to the baseline's attention MACs.

    d_head is the largest multiple of 4 at which attention costs no more MACs than the baseline's;
    the feed-forward block stays the baseline's, so parameters grow.

    Source: SwitchHead (arXiv:2312.07987), Sec. 3.5; reproduces its d_head 112 and 168.

    Args:
        baseline: The dense baseline.
        attention: Heads, experts and options; its d_head is replaced.
        convention: How MACs are counted.

    Raises:
        MatchError: If attention costs too much even at d_head 4.
    """
    budget = attention_macs(baseline, convention)

    def macs(candidate: AttentionConfig) -> int:
        return attention_macs(baseline.model_copy(update={"attention": candidate}), convention)

    widest = _widest(attention, lambda candidate: macs(candidate) <= budget, D_HEAD_MULTIPLE)
    if widest is None:
        smallest = attention.model_copy(update={"d_head": D_HEAD_MULTIPLE})
        raise MatchError(
            f"{_describe(attention)}: at d_head={D_HEAD_MULTIPLE} attention costs "
            f"{macs(smallest):,} MACs ({convention}), "
            f"the baseline's {budget:,}; use fewer heads or a smaller top_k"
        )
    return baseline.model_copy(update={"attention": widest})


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


def match_declared(sweep: Sweep, declared: DeclaredModel) -> ModelConfig:
    """Return the model that a sweep declares, under its matching rule.

    A sigma-MoE feed-forward takes the dense one's place after attention was matched.

    Raises:
        MatchError: If there is none.
    """
    baseline = baseline_model(sweep)
    fields = declared.model_dump(exclude={"kind", "name", "seeds", "feedforward"})
    match declared:
        case HeadMatchedModel():
            model = match_heads(baseline, declared.n_heads)
        case SwitchHeadModel():
            attention = SwitchHeadAttention(**fields, d_head=D_HEAD_MULTIPLE)
            model = _match(sweep, baseline, attention)
        case MoaModel():
            model = _match(sweep, baseline, MoaAttention(**fields, d_head=D_HEAD_MULTIPLE))
        case _:
            assert_never(declared)
    if declared.feedforward is None:
        return model
    return model.model_copy(update={"feedforward": declared.feedforward})


def match_candidate(sweep: Sweep, shape: SwitchHeadShape) -> ModelConfig:
    """Return the SwitchHead model of this shape under the sweep's matching rule.

    Raises:
        MatchError: If there is none.
    """
    attention = SwitchHeadAttention(**shape.model_dump(), d_head=D_HEAD_MULTIPLE)
    return _match(sweep, baseline_model(sweep), attention)


def _match(
    sweep: Sweep, baseline: ModelConfig, attention: SwitchHeadAttention | MoaAttention
) -> ModelConfig:
    if sweep.matching == "mac_matched":
        return match_macs(baseline, attention, sweep.convention)
    return match_parameters(baseline, attention)


def _describe(attention: SwitchHeadAttention | MoaAttention) -> str:
    names = ["n_heads", "n_experts"] + (["top_k"] if attention.kind == "switchhead" else [])
    return ", ".join(f"{name}={getattr(attention, name)}" for name in names)


def _widest(
    attention: AttentionT, fits: Callable[[AttentionConfig], bool], multiple: int
) -> AttentionT | None:
    """Return the attention with the largest d_head that fits; costs grow with d_head."""

    def widened(factor: int) -> AttentionT:
        return cast(AttentionT, attention.model_copy(update={"d_head": factor * multiple}))

    if not fits(widened(1)):
        return None
    low, high = 1, 2
    while fits(widened(high)):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(widened(middle)) else (low, middle)
    return widened(low)


def _within_parameters(baseline: ModelConfig) -> Callable[[AttentionConfig], bool]:
    budget = _attention_total(baseline.attention, baseline)
    return lambda attention: _attention_total(attention, baseline) <= budget


def _attention_total(attention: AttentionConfig, model: ModelConfig) -> int:
    return sum(attention_parameters(attention, model.positions, model.d_model).values())


def _spend_rest_on_feedforward(baseline: ModelConfig, attention: AttentionConfig) -> ModelConfig:
    feedforward = baseline.feedforward
    assert isinstance(feedforward, DenseFeedForward), "the baseline of a sweep is dense"
    spent = _attention_total(attention, baseline)
    rest = _attention_total(baseline.attention, baseline) - spent
    parameters_per_unit = 2 * baseline.d_model + 1
    d_ff = feedforward.d_ff + rest // parameters_per_unit
    return baseline.model_copy(
        update={
            "attention": attention,
            "feedforward": feedforward.model_copy(update={"d_ff": d_ff}),
        }
    )
