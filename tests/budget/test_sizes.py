"""The solver finds the largest value that fits, for every size, variant and convention."""

import itertools
from functools import cache

import pytest

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.matching import match_size
from switchhead_lab.budget.quantity import BudgetedQuantity, macs_of, parameters_of
from switchhead_lab.budget.sizes import ModelSize, find_size, largest_that_fits, sizes_of
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.cost_names import CONVENTIONS
from switchhead_lab.errors import MatchError
from switchhead_lab.sweeping.costing import find_counter
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.positions import RopePositions, TransformerXLPositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

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
# Sizes without effect on the quantity, by its definition.
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


def size_of(model: ModelConfig, name: str) -> ModelSize:
    size = find_size(model, name)
    assert size is not None
    return size


@cache
def counter_of(convention: str) -> CostCounter:
    return find_counter(convention)


def quantity_of(unit: str, name: str) -> BudgetedQuantity:
    scope = "attention" if name in ("d_head", "n_heads", "n_experts") else "layer"
    return parameters_of(scope) if unit == "parameters" else macs_of(scope, counter_of(unit))


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("unit", ["parameters", *CONVENTIONS])
@pytest.mark.parametrize(("attention", "feedforward", "name"), CASES)
def test_the_value_is_the_largest_within_the_budget(
    attention: str, feedforward: str, name: str, unit: str, positions: str
) -> None:
    budgeted = quantity_of(unit, name)
    model, baseline = model_with(attention, feedforward, positions), baseline_with(positions)
    size = size_of(model, name)
    if (attention, name, unit) in WITHOUT_EFFECT:
        with pytest.raises(MatchError, match=f"^{name} has no effect on the .*; match over "):
            match_size(size, model, budgeted, baseline)
        return
    matched = match_size(size, model, budgeted, baseline)
    value, step = size.value(matched), size.step(model)
    assert matched == size.at(model, value), "nothing else changes"
    assert value % step == 0
    assert value > size.smallest(model)
    larger = size.at(matched, value + step)
    assert budgeted.count(matched) <= budgeted.count(baseline) < budgeted.count(larger)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("unit", ["parameters", *CONVENTIONS])
@pytest.mark.parametrize(("attention", "feedforward", "name"), CASES)
def test_every_quantity_grows_with_every_size(
    attention: str, feedforward: str, name: str, unit: str, positions: str
) -> None:
    budgeted = quantity_of(unit, name)
    model = model_with(attention, feedforward, positions)
    size = size_of(model, name)
    values = range(size.smallest(model), 40, size.step(model))
    counts = [budgeted.count(size.at(model, value)) for value in values]
    for smaller, larger in itertools.pairwise(counts):
        if (name, unit) == ("d_ff", "executed"):  # hidden channels are padded to a multiple of 32
            assert smaller <= larger
        else:
            has_effect = (attention, name, unit) not in WITHOUT_EFFECT
            assert smaller < larger if has_effect else smaller == larger
    assert counts[0] < counts[-1] or (attention, name, unit) in WITHOUT_EFFECT


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("attention", ["switchhead", "switchhead-vkqo-shared"])
def test_macs_never_shrink_with_top_k(attention: str, convention: str) -> None:
    model = model_with(attention, "dense", "xl")
    macs = [
        counter_of(convention).attention_macs(size_of(model, "top_k").at(model, k))
        for k in range(1, 6)
    ]
    assert macs == sorted(macs)


BOTH = [(attention, feedforward) for attention in ATTENTION for feedforward in FEEDFORWARD]


@pytest.mark.parametrize(
    ("attention", "feedforward", "name"),
    [
        (attention, feedforward, size.label)
        for attention, feedforward in BOTH
        for size in sizes_of(model_with(attention, feedforward, "xl"))
    ],
)
def test_bisection_agrees_with_trying_every_value(
    attention: str, feedforward: str, name: str
) -> None:
    model = model_with(attention, feedforward, "xl")
    size = size_of(model, name)
    for limit in range(45):
        largest = min(limit, size.largest(model) or limit)
        allowed = range(size.smallest(model), 1 + largest, size.step(model))
        for near in (-3, 0, 7, limit, 90):  # the starting value does not change the result
            found = largest_that_fits(
                size, model, lambda m, most=limit: size.value(m) <= most, near
            )
            assert (None if found is None else size.value(found)) == max(allowed, default=None)


def test_steps_and_bounds() -> None:
    dense, switchhead = (model_with(name, "sigma-moe", "xl") for name in ("dense", "switchhead"))
    moa = model_with("moa", "dense", "xl")
    assert [size_of(model, "d_head").step(model) for model in (dense, switchhead, moa)] == [1, 4, 4]
    assert size_of(dense, "d_expert").step(dense) == 1
    assert size_of(moa, "d_ff").step(moa) == size_of(moa, "n_heads").step(moa) == 1
    assert [size_of(model, "n_experts").smallest(model) for model in (switchhead, moa)] == [2, 2]
    top_k, experts = (size_of(switchhead, n) for n in ("top_k", "feedforward.n_experts"))
    assert experts.smallest(top_k.at(switchhead, 5)) == 2
    assert top_k.largest(switchhead) == 5
    assert size_of(moa, "n_heads").largest(moa) == 80
    assert size_of(switchhead, "n_heads").largest(switchhead) is None
