"""Costs of a whole model against hand counts, on a small model."""

import pytest

from switchhead_lab.budget.counter import CostCounter, closed_form_counter
from switchhead_lab.budget.model_costs import ModelCosts, count_costs
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.errors import UndefinedCostError
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.grouped_query import GroupedQueryAttention
from switchhead_lab.variants.positions import RopePositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

D, L, T, V = 8, 3, 4, 50
FORMULAS = [closed_form_counter("equations"), closed_form_counter("published")]


def costs_of(
    attention, feedforward=None, counters=FORMULAS, n_outputs=None, convention="published"
) -> ModelCosts:
    model = ModelConfig(
        d_model=D,
        n_layers=L,
        seq_len=T,
        context_multiple=1,
        positions=RopePositions(),
        attention=attention,
        feedforward=feedforward or DenseFeedForward(d_ff=16),
    )
    return count_costs(model, counters, V, n_outputs, convention=convention)


def test_a_dense_model() -> None:
    costs = costs_of(DenseAttention(n_heads=2, d_head=4))
    # Four projections of 2 x 4 channels, then scores and weighted values of 2 maps.
    attention = 4 * T * 8 * D + 2 * 2 * T * T * 4
    assert attention == 1280
    # Up and down, 16 wide.
    feedforward = 2 * T * D * 16
    assert feedforward == 1024
    for convention in ("equations", "published"):
        assert costs.attention_macs(convention) == attention
        assert costs.layer_macs(convention) == attention + feedforward == 2304
        assert costs.model_macs(convention) == L * 2304 + T * D * V == 8512
        assert costs.model_macs_per_token(convention) == 8512 / T == 2128
        # Queries, keys, values and the output projection's input; scores and their softmax.
        assert costs.attention_saved_floats(convention) == 2 * (4 * T * 4 + 2 * T * T) == 192
        assert costs.layer_saved_floats(convention) == 192 + T * 16 == 256
        assert costs.model_saved_floats(convention) == L * 256
    assert costs.output_macs_per_token == D * V == 400
    assert (costs.macs, costs.memory_floats) == (1280, 192)
    # Embedding 400; a layer has 256 + (256 + 16 + 8) and two norms of 16; norm 16; output 450.
    assert costs.n_parameters == 400 + L * (256 + 280 + 32) + 16 + 450 == 2570
    assert costs.n_active_parameters == 2570 - 49 * D


def test_sparse_feed_forward_shows_in_layer_model_and_active_parameters_only() -> None:
    attention = SwitchHeadAttention(n_heads=1, d_head=4, n_experts=3, top_k=1)
    sparse = SigmaMoeFeedForward(n_experts=4, d_expert=4, top_k=1)
    switchhead, switchall = costs_of(attention), costs_of(attention, sparse)
    assert switchall.attention == switchhead.attention
    # One expert of four, and a router of 4.
    saved = 2 * T * D * 16 - T * (2 * D * 4 + D * 4)
    assert saved == 640
    for convention in ("equations", "published"):
        layers = [c.layer_macs(convention) for c in (switchhead, switchall)]
        assert layers[0] - layers[1] == saved
        models = [c.model_macs_per_token(convention) for c in (switchhead, switchall)]
        assert models[0] - models[1] == L * saved / T
    # Three of four experts are idle, each with 4 x 8 weights up and down.
    assert switchall.n_parameters - switchall.n_active_parameters - 49 * D == L * (
        3 * 2 * 4 * 8 + 2 * 2 * 4 * 8
    )


def test_undefined_costs_are_none() -> None:
    grouped_query = GroupedQueryAttention(n_heads=2, n_kv_heads=1, d_head=4)
    costs = costs_of(grouped_query, convention="equations")
    assert costs.conventions == ["equations"]
    assert costs.attention_macs("published") is None
    assert costs.layer_macs("published") is None
    assert costs.model_macs("published") is None
    assert costs.model_macs_per_token("published") is None
    assert costs.attention_saved_floats("published") is None
    assert costs.layer_saved_floats("published") is None
    assert costs.model_saved_floats("published") is None
    assert costs.model_macs("equations") is not None


def test_the_convention_of_the_matching_must_define_every_cost() -> None:
    with pytest.raises(UndefinedCostError, match="published"):
        costs_of(GroupedQueryAttention(n_heads=2, n_kv_heads=1, d_head=4))


def test_a_block_may_have_formulas_without_the_other() -> None:
    def refuse(_: ModelConfig):
        raise UndefinedCostError("an operation without a formula")

    counter = CostCounter("counted", FORMULAS[0].attention, refuse)
    costs = costs_of(DenseAttention(n_heads=2, d_head=4), counters=[counter])
    assert costs.attention_macs("counted") == 1280
    assert costs.layer_macs("counted") is None


def test_outputs_may_be_fewer_than_tokens() -> None:
    costs = costs_of(DenseAttention(n_heads=2, d_head=4), n_outputs=5)
    assert costs.output_macs_per_token == D * 5
    assert costs.model_macs("published") == L * 2304 + T * D * 5
    assert costs.n_parameters == 2570 - 45 * (D + 1)


@pytest.mark.parametrize("top_k", [1, 2])
def test_costs_round_trip_through_records(top_k: int) -> None:
    costs = costs_of(SwitchHeadAttention(n_heads=1, d_head=4, n_experts=3, top_k=top_k))
    assert ModelCosts.model_validate_json(costs.model_dump_json()) == costs


def test_parameters_are_those_of_the_closed_form() -> None:
    model = ModelConfig(
        d_model=D,
        n_layers=L,
        seq_len=T,
        attention=DenseAttention(n_heads=2, d_head=4),
        feedforward=DenseFeedForward(d_ff=16),
    )
    costs = count_costs(model, FORMULAS, V, 5)
    assert costs.n_parameters == count_parameters(model, V, 5).total
