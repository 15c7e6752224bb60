"""The solver: its value is the largest that fits, for every dimension, variant and convention."""

import itertools
from functools import cache

import pytest

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.dimensions import (
    ALL_DIMENSIONS,
    D_EXPERT,
    D_FF,
    D_HEAD,
    FEEDFORWARD_N_EXPERTS,
    FREE_DIMENSIONS,
    N_EXPERTS,
    N_HEADS,
    TOP_K,
    largest_that_fits,
)
from switchhead_lab.budget.matching import match_dimension
from switchhead_lab.budget.quantity import Quantity, macs_of, parameters_of
from switchhead_lab.config.architecture import (
    DenseAttention,
    DenseFeedForward,
    MoaAttention,
    ModelConfig,
    RopePositions,
    SigmaMoeFeedForward,
    SwitchHeadAttention,
    TransformerXLPositions,
)
from switchhead_lab.errors import MatchError
from switchhead_lab.sweeping.costing import CONVENTIONS, find_counter

SHAPE = {"n_heads": 2, "n_experts": 5, "top_k": 2, "d_head": 4}
ATTENTION = {
    "dense": DenseAttention(n_heads=2, d_head=3),
    "switchhead": SwitchHeadAttention(**SHAPE),
    "switchhead-vkqo-shared": SwitchHeadAttention(
        **SHAPE, expert_projections=["v", "k", "q", "o"], shared_selection=True
    ),
    "moa": MoaAttention(n_heads=2, n_experts=80, d_head=16),
}
FEEDFORWARD = {
    "dense": DenseFeedForward(d_ff=10),
    "sigma-moe": SigmaMoeFeedForward(n_experts=6, d_expert=7, top_k=2),
}
POSITIONS = {"xl": TransformerXLPositions(), "rope": RopePositions()}
# Where the budget does not depend on the dimension, by the definition of the quantity.
WITHOUT_EFFECT = {
    ("moa", "n_heads", "parameters"),
    ("moa", "n_experts", "equations"),
    ("switchhead", "n_experts", "equations"),
    ("switchhead-vkqo-shared", "n_experts", "equations"),
}
CASES = [
    (variant, "dense", name)
    for variant in ATTENTION
    for name in ("d_head", "n_heads", "n_experts", "d_ff")
    if not (variant == "dense" and name == "n_experts")
] + [
    (variant, "sigma-moe", name)
    for variant in ATTENTION
    for name in ("d_expert", "feedforward.n_experts")
]


def model_with(attention: str, feedforward: str, positions: str) -> ModelConfig:
    return ModelConfig(
        d_model=24,
        n_layers=2,
        seq_len=16,
        positions=POSITIONS[positions],
        attention=ATTENTION[attention],
        feedforward=FEEDFORWARD[feedforward],
    )


def baseline_with(positions: str) -> ModelConfig:
    return model_with("dense", "dense", positions).model_copy(
        update={
            "attention": DenseAttention(n_heads=17, d_head=31),
            "feedforward": DenseFeedForward(d_ff=400),
        }
    )


@cache
def counter_of(convention: str) -> CostCounter:
    return find_counter(convention)


def quantity_of(unit: str, name: str) -> Quantity:
    scope = FREE_DIMENSIONS[name].block.replace("feedforward", "layer")
    return parameters_of(scope) if unit == "parameters" else macs_of(scope, counter_of(unit))


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("unit", ["parameters", *CONVENTIONS])
@pytest.mark.parametrize(("attention", "feedforward", "name"), CASES)
def test_the_value_is_the_largest_within_the_budget(
    attention: str, feedforward: str, name: str, unit: str, positions: str
) -> None:
    dimension, quantity = FREE_DIMENSIONS[name], quantity_of(unit, name)
    model, baseline = model_with(attention, feedforward, positions), baseline_with(positions)
    if (attention, name, unit) in WITHOUT_EFFECT:
        with pytest.raises(MatchError, match=f"^{name} has no effect on the .*; match over "):
            match_dimension(dimension, model, quantity, baseline)
        return
    matched = match_dimension(dimension, model, quantity, baseline)
    value, step = dimension.value(matched), dimension.step(model)
    assert matched == dimension.at(model, value), "nothing else changes"
    assert value % step == 0
    assert value > dimension.smallest(model)
    larger = dimension.at(matched, value + step)
    assert quantity.count(matched) <= quantity.count(baseline) < quantity.count(larger)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("unit", ["parameters", *CONVENTIONS])
@pytest.mark.parametrize(("attention", "feedforward", "name"), CASES)
def test_every_quantity_grows_with_every_dimension(
    attention: str, feedforward: str, name: str, unit: str, positions: str
) -> None:
    dimension, quantity = FREE_DIMENSIONS[name], quantity_of(unit, name)
    model = model_with(attention, feedforward, positions)
    values = range(dimension.smallest(model), 40, dimension.step(model))
    counts = [quantity.count(dimension.at(model, value)) for value in values]
    for smaller, larger in itertools.pairwise(counts):
        if (name, unit) == ("d_ff", "executed"):  # hidden channels are made up to a multiple of 32
            assert smaller <= larger
        else:
            has_effect = (attention, name, unit) not in WITHOUT_EFFECT
            assert smaller < larger if has_effect else smaller == larger
    assert counts[0] < counts[-1] or (attention, name, unit) in WITHOUT_EFFECT


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("attention", ["switchhead", "switchhead-vkqo-shared"])
def test_macs_never_shrink_with_top_k(attention: str, convention: str) -> None:
    model = model_with(attention, "dense", "xl")
    macs = [counter_of(convention).attention_macs(TOP_K.at(model, k)) for k in range(1, 6)]
    assert macs == sorted(macs)


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("dimension", ALL_DIMENSIONS, ids=lambda dimension: dimension.name)
def test_bisection_agrees_with_trying_every_value(dimension, attention: str) -> None:
    model = model_with(attention, "dense", "xl")
    if not dimension.exists_in(model):
        model = model_with("switchhead", "sigma-moe", "xl")
    for limit in range(45):
        found = largest_that_fits(
            dimension, model, lambda m, most=limit: dimension.value(m) <= most
        )
        largest = min(limit, dimension.largest(model) or limit)
        allowed = range(dimension.smallest(model), 1 + largest, dimension.step(model))
        assert (None if found is None else dimension.value(found)) == max(allowed, default=None)


def test_steps_and_bounds() -> None:
    dense, switchhead = (model_with(name, "sigma-moe", "xl") for name in ("dense", "switchhead"))
    moa = model_with("moa", "dense", "xl")
    assert [D_HEAD.step(model) for model in (dense, switchhead, moa)] == [1, 4, 4]
    assert (D_EXPERT.step(dense), D_FF.step(moa), N_HEADS.step(moa)) == (1, 1, 1)
    assert (N_EXPERTS.smallest(switchhead), N_EXPERTS.smallest(moa)) == (2, 2)
    assert FEEDFORWARD_N_EXPERTS.smallest(TOP_K.at(switchhead, 5)) == 2
    assert (N_HEADS.largest(moa), N_HEADS.largest(switchhead), TOP_K.largest(switchhead)) == (
        80,
        None,
        5,
    )
