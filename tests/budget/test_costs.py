"""MACs and memory against hand counts, by convention."""

import pytest

from switchhead_lab.budget.costs import (
    attention_macs,
    attention_memory_floats,
    feedforward_macs,
    forward_macs_per_token,
)
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.paper.figures import prints_as
from switchhead_lab.paper.models import model_of
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.positions import RopePositions, TransformerXLPositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

T, C, D, F, V = 3, 2, 8, 7, 11


def model_with(attention, *, rope: bool = False, context_multiple: int = C) -> ModelConfig:
    return ModelConfig(
        d_model=D,
        n_layers=1,
        seq_len=T,
        context_multiple=context_multiple,
        positions=RopePositions() if rope else TransformerXLPositions(),
        attention=attention,
        feedforward=DenseFeedForward(d_ff=F),
    )


@pytest.mark.parametrize("convention", ["equations", "published"])
def test_dense_is_the_same_in_both_conventions(convention) -> None:
    H, P = 2, 5
    model = model_with(DenseAttention(n_heads=H, d_head=P))
    macs = H * (4 * T * P * D + 2 * C * T * T * P + 2 * C * T * P * D)
    assert attention_macs(model, convention) == macs
    floats = H * (4 * T * P + 2 * C * T * T + 2 * C * T * P)
    assert attention_memory_floats(model, convention) == floats
    assert forward_macs_per_token(model, V) == macs / T + 2 * D * F + D * V


@pytest.mark.parametrize("convention", ["equations", "published"])
def test_rope_drops_the_position_terms(convention) -> None:
    H, P = 2, 5
    model = model_with(DenseAttention(n_heads=H, d_head=P), rope=True, context_multiple=1)
    assert attention_macs(model, convention) == H * (4 * T * P * D + 2 * T * T * P)
    assert attention_memory_floats(model, convention) == H * (4 * T * P + 2 * T * T)


@pytest.mark.parametrize("subset", ["vo", "o", "vkqo"])
def test_switchhead_with_any_projections_as_experts(subset: str) -> None:
    H, P, E, K, n = 2, 5, 4, 3, len(subset)
    s = 1 if subset == "o" else 2
    attention = SwitchHeadAttention(
        n_heads=H, d_head=P, n_experts=E, top_k=K, expert_projections=list(subset)
    )
    model = model_with(attention)
    core, position = 2 * C * T * T * P, 2 * C * T * P * D
    dense, routed = (4 - n) * T * P * D, n * T * K * P * (D + 1)
    assert attention_macs(model, "equations") == H * (dense + routed + core + position)
    published = (
        2 * C * H * P * T**2
        + (n * K + 4 - n) * D * H * P * T
        + n * H * K * T * P
        + s * E * D * T * C
        + 2 * H * D * T * P
    )
    assert attention_macs(model, "published") == published
    floats = 2 * C * H * T**2 + 4 * H * P * T + s * E * T * C + 2 * H * P * T
    assert attention_memory_floats(model, "published") == floats
    assert attention_memory_floats(model, "equations") == H * (
        4 * T * P + 2 * C * T**2 + 2 * C * T * P
    )


def test_moa_in_both_conventions() -> None:
    H, P, E = 2, 5, 4
    model = model_with(MoaAttention(n_heads=H, n_experts=E, d_head=P))
    equations = (2 * H + 2) * T * P * D + 2 * H * C * T**2 * P + 2 * C * T * P * D
    assert attention_macs(model, "equations") == equations
    assert attention_macs(model, "published") == equations + 2 * H * T * P + E * D * T
    floats = (2 * H + 2) * T * P + 2 * H * C * T**2
    assert attention_memory_floats(model, "equations") == floats + 2 * C * T * P
    assert attention_memory_floats(model, "published") == floats + 2 * T * P + E * T * C


def test_equations_put_the_context_factor_on_switchheads_position_term() -> None:
    """The paper's Eq. 13 gives 200.3M where its tables print 170.4M."""
    model = model_of("switchhead", 47, 2, "wikitext103")
    assert prints_as(attention_macs(model, "equations"), "200.3M")
    assert prints_as(attention_macs(model, "published"), "170.4M")


def test_feedforward_macs() -> None:
    dense = model_with(DenseAttention(n_heads=1, d_head=1))
    assert feedforward_macs(dense, "equations") == T * 2 * D * F
    sigma_moe = SigmaMoeFeedForward(n_experts=6, d_expert=3, top_k=2)
    sparse = dense.model_copy(update={"feedforward": sigma_moe})
    assert feedforward_macs(sparse, "published") == T * (2 * 2 * D * 3 + 6 * D)
