"""Grouped-query attention is dense attention whose query heads share keys and values.

Letters: D d_model, T query positions, S key positions, H query heads, G key and value heads,
P d_head.
"""

import pytest
import torch
from layer_plans import plan_of
from torch import Tensor, nn

from switchhead_lab.budget.matching import match_parameters
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.variants.base import LayerSizes
from switchhead_lab.variants.contract import POSITIONS
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.grouped_query import GroupedQueryAttention
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.positions import Positions, RopePositions

B, D, T, S, H, P = 2, 10, 7, 13, 6, 5
SHARED = ("key_weight", "value_weight")


def layer_of(config, positions: Positions) -> nn.Module:
    layer = config.build(positions, D).double()
    layer.reset_parameters(1.0, torch.Generator().manual_seed(3))
    return layer


def output_and_gradients(layer: nn.Module, config, positions: Positions) -> list[Tensor]:
    """Return the output and the gradients of the input and of every parameter."""
    generator = torch.Generator().manual_seed(4)
    context = torch.randn(B, S, D, generator=generator, dtype=torch.float64, requires_grad=True)
    plan = plan_of(T, S, D, config, positions, dtype=torch.float64)
    output = layer(context, plan).output_BTD
    weights = torch.randn(output.shape, generator=generator, dtype=torch.float64)
    inputs = [context, *layer.parameters()]
    return [output, *torch.autograd.grad((output * weights).sum(), inputs)]


def per_query_head(weight: Tensor, n_kv_heads: int) -> Tensor:
    """Repeat the rows [G * P, D] of each key or value head for every query head, head by head."""
    groups = [weight[g * P : (g + 1) * P] for g in range(n_kv_heads)]
    return torch.cat([groups[head * n_kv_heads // H] for head in range(H)])


@pytest.mark.parametrize("positions", POSITIONS, ids=lambda positions: positions.kind)
def test_with_a_key_head_for_each_query_head_it_is_dense(positions: Positions) -> None:
    dense, grouped = (
        DenseAttention(n_heads=H, d_head=P),
        GroupedQueryAttention(n_heads=H, n_kv_heads=H, d_head=P),
    )
    layers = [layer_of(config, positions) for config in (dense, grouped)]
    # The same seed gives the same weights.
    for ours, theirs in zip(*(layer.named_parameters() for layer in layers), strict=True):
        assert ours[0] == theirs[0]
        assert torch.equal(ours[1], theirs[1])
    results = [
        output_and_gradients(layer, config, positions)
        for layer, config in zip(layers, (dense, grouped), strict=True)
    ]
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("n_kv_heads", [1, 2, 3], ids=["multi-query", "G=2", "G=3"])
@pytest.mark.parametrize("positions", POSITIONS, ids=lambda positions: positions.kind)
def test_it_is_dense_attention_with_repeated_keys_and_values(
    positions: Positions, n_kv_heads: int
) -> None:
    grouped = GroupedQueryAttention(n_heads=H, n_kv_heads=n_kv_heads, d_head=P)
    dense = DenseAttention(n_heads=H, d_head=P)
    ours, theirs = layer_of(grouped, positions), layer_of(dense, positions)
    assert ours.key_weight.shape == ours.value_weight.shape == (n_kv_heads * P, D)
    state = ours.state_dict()
    repeated = {name: per_query_head(state[name], n_kv_heads) for name in SHARED}
    theirs.load_state_dict({**state, **repeated})
    names = ["output", "input", *(name for name, _ in ours.named_parameters())]
    ours_by_name = dict(zip(names, output_and_gradients(ours, grouped, positions), strict=True))
    theirs_by_name = dict(zip(names, output_and_gradients(theirs, dense, positions), strict=True))
    for name in SHARED:
        # A shared head's gradient is the sum over the query heads that use it.
        by_head = theirs_by_name[name].view(n_kv_heads, H // n_kv_heads, P, D)
        theirs_by_name[name] = by_head.sum(dim=1).flatten(0, 1)
    for name in names:
        torch.testing.assert_close(ours_by_name[name], theirs_by_name[name], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("positions", POSITIONS, ids=lambda positions: positions.kind)
def test_costs_are_those_of_the_papers_equations_at_both_ends(positions: Positions) -> None:
    layer = LayerSizes(D, T, 2, positions)
    dense = DenseAttention(n_heads=H, d_head=P).cost(layer, "equations")
    grouped = GroupedQueryAttention(n_heads=H, n_kv_heads=H, d_head=P)
    assert grouped.cost(layer, "equations") == dense
    multi_query = GroupedQueryAttention(n_heads=H, n_kv_heads=1, d_head=P)
    without_positions = LayerSizes(D, T, 2, RopePositions())
    moa = MoaAttention(n_heads=H, n_experts=H, d_head=P)
    assert multi_query.cost(without_positions, "equations") == moa.cost(
        without_positions, "equations"
    )


def test_heads_that_cannot_be_grouped_are_refused() -> None:
    with pytest.raises(ValueError, match="n_heads=6 but n_kv_heads=4; use a multiple of 4 for n_h"):
        GroupedQueryAttention(n_heads=6, n_kv_heads=4, d_head=5)


def test_what_sharing_saves_goes_to_wider_heads() -> None:
    baseline = ModelConfig(
        d_model=24,
        n_layers=2,
        seq_len=16,
        attention=DenseAttention(n_heads=4, d_head=6),
        feedforward=DenseFeedForward(d_ff=64),
    )
    grouped = GroupedQueryAttention(n_heads=4, n_kv_heads=2, d_head=1)
    # 5 projections of 4 heads against 3 of 4 and 2 of 2, and two biases of 4 heads: 488 against 392
    # parameters per unit of d_head, so d_head grows from 6 to 7.
    assert match_parameters(baseline, grouped).attention.d_head == 7
    more_heads = match_parameters(baseline, grouped.model_copy(update={"d_head": 3}), "n_heads")
    assert more_heads.attention.n_heads % 2 == 0
