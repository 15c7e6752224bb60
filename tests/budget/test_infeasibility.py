"""Models that cannot be matched are refused, and the proposed sizes can be matched."""

import re
from collections.abc import Callable

import pytest

from switchhead_lab.budget.counter import closed_form_counter
from switchhead_lab.budget.matching import match_size
from switchhead_lab.budget.quantity import BudgetedQuantity, macs_of, parameters_of
from switchhead_lab.budget.sizes import ModelSize, find_size
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.errors import MatchError
from switchhead_lab.sweeping.costing import find_counter
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

PUBLISHED = closed_form_counter("published")
DENSE_FF, SPARSE_FF = (
    DenseFeedForward(d_ff=40),
    SigmaMoeFeedForward(n_experts=9, d_expert=4, top_k=3),
)


def baseline_with(n_heads: int, d_head: int) -> ModelConfig:
    return ModelConfig(
        d_model=32,
        n_layers=2,
        seq_len=16,
        attention=DenseAttention(n_heads=n_heads, d_head=d_head),
        feedforward=DENSE_FF,
    )


def switchhead(n_heads: int, n_experts: int, top_k: int, d_head: int = 4) -> SwitchHeadAttention:
    return SwitchHeadAttention(n_heads=n_heads, n_experts=n_experts, top_k=top_k, d_head=d_head)


def moa(n_heads: int, n_experts: int, d_head: int = 4) -> MoaAttention:
    return MoaAttention(n_heads=n_heads, n_experts=n_experts, d_head=d_head)


PARAMETERS, LAYER_PARAMETERS = parameters_of("attention"), parameters_of("layer")
MACS, LAYER_MACS = macs_of("attention", PUBLISHED), macs_of("layer", PUBLISHED)
CASES = [
    ("d_head", switchhead(4, 16, 1), DENSE_FF, PARAMETERS),
    ("d_head", switchhead(4, 16, 9), DENSE_FF, PARAMETERS),
    ("d_head", switchhead(9, 4, 4), DENSE_FF, MACS),
    ("d_head", moa(2, 60), DENSE_FF, PARAMETERS),
    ("d_head", moa(30, 60), DENSE_FF, MACS),
    ("d_head", DenseAttention(n_heads=99, d_head=1), DENSE_FF, PARAMETERS),
    ("n_heads", switchhead(1, 9, 2, 60), DENSE_FF, PARAMETERS),
    ("n_experts", switchhead(3, 9, 7, 28), DENSE_FF, PARAMETERS),
    ("n_experts", moa(9, 9, 28), DENSE_FF, PARAMETERS),
    ("d_ff", switchhead(3, 9, 7, 28), DENSE_FF, LAYER_PARAMETERS),
    ("d_expert", switchhead(2, 9, 1, 16), SPARSE_FF, LAYER_PARAMETERS),
    ("feedforward.n_experts", switchhead(5, 4, 4, 8), SPARSE_FF, LAYER_MACS),
]


def size_of(model: ModelConfig, name: str) -> ModelSize:
    size = find_size(model, name)
    assert size is not None
    return size


def match(
    name: str, model: ModelConfig, budgeted: BudgetedQuantity, baseline: ModelConfig
) -> ModelConfig:
    return match_size(size_of(model, name), model, budgeted, baseline)


def message_of(
    name: str, model: ModelConfig, budgeted: BudgetedQuantity, baseline: ModelConfig
) -> str:
    with pytest.raises(MatchError) as raised:
        match(name, model, budgeted, baseline)
    return str(raised.value)


def proposals_in(message: str) -> list[tuple[str, int, dict[str, int]]]:
    """Return each `NAME up to VALUE [with NAME=VALUE, ...]` of a message."""
    advice = message.rpartition("; ")[2]
    return [
        (name, int(value), {n: int(v) for n, v in re.findall(r"([\w.]+)=(\d+)", fixed)})
        for name, value, fixed in re.findall(
            r"([\w.]+) up to (\d+)((?: with)?(?:,? [\w.]+=\d+)*)", advice
        )
    ]


def changed(model: ModelConfig, values: dict[str, int]) -> ModelConfig:
    for name, value in values.items():
        model = size_of(model, name).at(model, value)
    return model


@pytest.mark.parametrize(("name", "attention", "feedforward", "budgeted"), CASES)
def test_proposals_fit_and_larger_ones_do_not(name, attention, feedforward, budgeted) -> None:
    baseline = baseline_with(n_heads=4, d_head=8)
    model = baseline.model_copy(update={"attention": attention, "feedforward": feedforward})
    message = message_of(name, model, budgeted, baseline)
    proposals = proposals_in(message)
    assert proposals, message
    for proposed, value, fixed in proposals:
        frame = changed(model, fixed)
        varied = size_of(frame, proposed)
        assert match(name, varied.at(frame, value), budgeted, baseline)
        more = varied.at(frame, value + varied.step(frame))
        with pytest.raises(MatchError):
            match(name, more, budgeted, baseline)


def test_a_message_in_full() -> None:
    baseline = baseline_with(n_heads=4, d_head=8)
    model = baseline.model_copy(update={"attention": switchhead(4, 12, 1)})
    smallest, budget = (PARAMETERS.count(m) for m in (model, baseline))
    assert message_of("d_head", model, PARAMETERS, baseline) == (
        f"n_heads=4, n_experts=12, top_k=1: even at d_head=4 attention has {smallest:,} "
        f"parameters, the baseline's {budget:,}; n_heads up to 1 would fit (or n_experts up to 2)"
    )


def test_a_message_in_macs_proposes_fewer_heads_or_a_smaller_top_k() -> None:
    baseline = baseline_with(n_heads=4, d_head=8)
    model = baseline.model_copy(update={"attention": switchhead(6, 8, 8)})
    message = message_of("d_head", model, MACS, baseline)
    assert "MACs (published)" in message
    assert [name for name, _, _ in proposals_in(message)] == ["n_heads", "top_k"]


def test_a_message_in_executed_macs_proposes_what_that_convention_charges() -> None:
    """All experts are computed, so choosing fewer would not help."""
    baseline = baseline_with(n_heads=4, d_head=8)
    model = baseline.model_copy(update={"attention": switchhead(4, 8, 4)})
    budgeted = macs_of("attention", find_counter("executed"))
    for name, value, _ in proposals_in(message_of("d_head", model, budgeted, baseline)):
        assert match("d_head", changed(model, {name: value}), budgeted, baseline)


@pytest.mark.parametrize(
    ("attention", "n_heads", "d_head"), [(switchhead(9, 30, 20), 2, 4), (moa(20, 90), 1, 9)]
)
def test_two_changes_are_proposed_if_one_is_not_enough(attention, n_heads, d_head) -> None:
    baseline = baseline_with(n_heads, d_head)
    model = baseline.model_copy(update={"attention": attention})
    message = message_of("d_head", model, PARAMETERS, baseline)
    proposals = proposals_in(message)
    assert proposals, message
    for name, value, fixed in proposals:
        assert fixed
        found = match("d_head", changed(model, fixed | {name: value}), PARAMETERS, baseline)
        # Still a buildable model.
        assert ModelConfig.model_validate(found.model_dump()) == found


def test_a_wider_baseline_is_named_if_no_shape_fits() -> None:
    baseline = baseline_with(n_heads=1, d_head=1)
    model = baseline.model_copy(update={"attention": switchhead(2, 4, 2)})
    message = message_of("d_head", model, PARAMETERS, baseline)
    found = re.search(
        r"n_heads=1, n_experts=1, top_k=1 would, with a baseline of d_head (\d+)", message
    )
    assert found, message
    least = changed(model, {"n_heads": 1, "n_experts": 1, "top_k": 1})
    enough = int(found[1])
    assert match("d_head", least, PARAMETERS, baseline_with(1, enough))
    with pytest.raises(MatchError):
        match("d_head", least, PARAMETERS, baseline_with(1, enough - 1))


@pytest.mark.parametrize(
    ("name", "attention", "budgeted", "message"),
    [
        (
            "n_heads",
            moa(2, 8),
            PARAMETERS,
            "n_heads has no effect on the parameters of moa attention; match over n_experts or "
            "d_head",
        ),
        (
            "n_heads",
            moa(1, 1),
            PARAMETERS,
            "n_heads has no effect on the parameters of moa attention; match over n_experts or "
            "d_head",
        ),
        (
            "n_experts",
            switchhead(2, 8, 1),
            macs_of("attention", closed_form_counter("equations")),
            "n_experts has no effect on the MACs (equations) of switchhead attention; match over "
            "n_heads or d_head",
        ),
    ],
)
def test_a_size_without_effect_is_refused(name, attention, budgeted, message) -> None:
    baseline = baseline_with(n_heads=4, d_head=8)
    model = baseline.model_copy(update={"attention": attention})
    assert message_of(name, model, budgeted, baseline) == message


@pytest.mark.parametrize("n_experts", [1, 2, 5])
@pytest.mark.parametrize("counter", [lambda: PUBLISHED, lambda: find_counter("executed")])
def test_a_moa_with_too_few_heads_is_refused_with_the_number_needed(
    n_experts: int, counter: Callable
) -> None:
    baseline = baseline_with(n_heads=8, d_head=16)
    budgeted = macs_of("attention", counter())
    model = baseline.model_copy(update={"attention": moa(1, n_experts)})
    message = message_of("n_heads", model, budgeted, baseline)
    found = re.search(r"n_experts of (\d+) or more would do", message)
    assert found, message
    enough = int(found[1])
    assert enough > n_experts
    for value in (enough, enough + 1):
        matched = match("n_heads", size_of(model, "n_experts").at(model, value), budgeted, baseline)
        assert matched.attention.n_heads <= value
    with pytest.raises(MatchError, match=f"n_experts of {enough} or more"):
        match("n_heads", size_of(model, "n_experts").at(model, enough - 1), budgeted, baseline)
