"""Executed costs against a count by hand, to the last MAC, and against PyTorch's own dispatch."""

import pytest
import torch
from layer_plans import plan_of
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from variant_cases import CASES, config_of

from switchhead_lab.budget.model_costs import count_costs
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.model import executed
from switchhead_lab.model.executed import (
    UncountedOperationError,
    executed_attention,
    executed_feedforward,
)
from switchhead_lab.model.transformer import Transformer
from switchhead_lab.sweeping.costing import find_counter
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.positions import RopePositions, TransformerXLPositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

D, T, C, F = 12, 9, 2, 32
S = C * T
V = 11
NO_PLAN = plan_of(2, 2, 2)


def model_with(attention, *, rope: bool, feedforward=None) -> ModelConfig:
    return ModelConfig(
        d_model=D,
        n_layers=2,
        seq_len=T,
        context_multiple=C,
        positions=RopePositions() if rope else TransformerXLPositions(),
        attention=attention,
        feedforward=feedforward or DenseFeedForward(d_ff=F),
    )


def core(n_maps: int, P: int, *, rope: bool, n_position_heads: int) -> int:
    """Scores and weighted values of all maps, and the position term with its projection."""
    macs = 2 * n_maps * T * S * P
    if not rope:
        macs += (S + 1) * D * n_position_heads * P + n_maps * T * (S + 1) * P
    return macs


@pytest.mark.parametrize("rope", [False, True], ids=["xl", "rope"])
def test_dense(rope: bool) -> None:
    H, P = 4, 3
    macs = 2 * T * D * H * P + 2 * S * D * H * P + core(H, P, rope=rope, n_position_heads=H)
    assert (
        executed_attention(model_with(DenseAttention(n_heads=H, d_head=P), rope=rope)).macs == macs
    )


@pytest.mark.parametrize("rope", [False, True], ids=["xl", "rope"])
@pytest.mark.parametrize(
    ("subset", "shared"),
    [("vo", False), ("vo", True), ("o", False), ("vkqo", False), ("vkqo", True), ("kq", True)],
)
def test_switchhead(subset: str, shared: bool, rope: bool) -> None:
    H, P, E, K = 2, 5, 4, 2
    attention = SwitchHeadAttention(
        n_heads=H,
        d_head=P,
        n_experts=E,
        top_k=K,
        expert_projections=list(subset),
        shared_selection=shared,
    )
    rows = {"v": S, "k": S, "q": T, "o": T}
    macs = core(H, P, rope=rope, n_position_heads=H)
    for name, n in rows.items():
        macs += n * D * H * P * (K if name in subset else 1)
    if set(subset) & {"v", "k"}:
        macs += S * D * H * E
    if set(subset) & {"q", "o"} and not shared:
        macs += T * D * H * E
    assert executed_attention(model_with(attention, rope=rope)).macs == macs


@pytest.mark.parametrize("rope", [False, True], ids=["xl", "rope"])
def test_moa(rope: bool) -> None:
    H, P, E = 2, 5, 4
    attention = MoaAttention(n_heads=H, n_experts=E, d_head=P, switch_coefficient=0.1)
    macs = 2 * T * D * H * P + 2 * S * D * P + T * D * E
    macs += core(H, P, rope=rope, n_position_heads=1)
    assert executed_attention(model_with(attention, rope=rope)).macs == macs


def test_feedforward() -> None:
    dense = model_with(DenseAttention(n_heads=1, d_head=2), rope=True)
    assert executed_feedforward(dense).macs == 2 * T * D * F
    dropped = DenseFeedForward(d_ff=F, p_dropout=0.1)
    attention = DenseAttention(n_heads=1, d_head=2)
    with_dropout = model_with(attention, rope=True, feedforward=dropped)
    assert executed_feedforward(with_dropout).macs == 2 * T * D * F
    odd = model_with(
        DenseAttention(n_heads=1, d_head=2), rope=True, feedforward=DenseFeedForward(d_ff=F + 1)
    )
    # Hidden channels are padded to a multiple of 16, which counts as executed.
    assert executed_feedforward(odd).macs == 2 * T * D * (F + 16)
    sigma_moe = SigmaMoeFeedForward(n_experts=4, d_expert=5, top_k=2)
    sparse = model_with(DenseAttention(n_heads=1, d_head=2), rope=True, feedforward=sigma_moe)
    assert executed_feedforward(sparse).macs == 2 * T * D * 2 * 5 + T * D * 4


@pytest.mark.parametrize("context_multiple", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_only_layers_and_the_output_layer_have_matmuls(case: str, context_multiple: int) -> None:
    """Nothing else has a matmul: not the loss, the norms or the embedding."""
    config = config_of(case, context_multiple=context_multiple)
    with torch.device("meta"):
        model = Transformer(config, V)
        tokens = torch.zeros(1, config.seq_len, dtype=torch.int64)
        shape = (1, config.memory_len, config.d_model)
        memory = tuple(torch.zeros(shape) for _ in range(config.n_layers if shape[1] else 0))
        counter = FlopCounterMode(display=False, custom_mapping=executed._FORMULAS)
        with counter:
            assert model(tokens, memory).logits_BTV.shape == (1, config.seq_len, V)
    costs = count_costs(config, [find_counter("executed")], V)
    assert costs.model_macs("executed") == counter.get_total_flops() // 2
    assert costs.output_macs_per_token == config.d_model * V


def test_saved_floats_of_a_simple_layer() -> None:
    """ReLU and the second layer share ReLU's output; the input is the caller's."""
    model = model_with(DenseAttention(n_heads=1, d_head=2), rope=True)
    assert executed_feedforward(model).memory_floats == T * F


def test_saved_floats_of_dense_attention_grow_with_the_maps() -> None:
    def floats(n_heads: int) -> int:
        attention = DenseAttention(n_heads=n_heads, d_head=12 // n_heads)
        return executed_attention(model_with(attention, rope=False)).memory_floats

    # Four more heads at the same total width save one more map each, and little else.
    assert floats(6) - floats(2) >= 4 * T * S


class Expanding(nn.Module):
    """Saves a row expanded over positions, which takes no more memory than the row."""

    def forward(self, x: torch.Tensor, _plan: object) -> torch.Tensor:
        return x * x.mean(dim=1, keepdim=True).expand_as(x)


def test_an_expanded_tensor_is_counted_once() -> None:
    x = torch.empty(1, 5, 4, device="meta", requires_grad=True)
    assert executed._count(Expanding(), x, NO_PLAN).memory_floats == 4


class Uncounted(nn.Module):
    """A layer with a matmul that has no FLOP formula."""

    def forward(self, x: torch.Tensor, _plan: object) -> torch.Tensor:
        return torch.cdist(x, x)


def test_an_unknown_operation_is_an_error_and_not_a_zero() -> None:
    x = torch.empty(1, 3, 4, device="meta", requires_grad=True)
    with pytest.raises(UncountedOperationError, match="no FLOP formula; register one"):
        executed._count(Uncounted(), x, NO_PLAN)
