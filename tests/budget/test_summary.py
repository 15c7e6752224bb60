import pytest

from switchhead_lab.budget.costs import attention_macs
from switchhead_lab.budget.counter import closed_form_counter
from switchhead_lab.budget.parameters import active_parameters, count_parameters
from switchhead_lab.budget.summary import summarise_budget
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

D, L, V = 8, 3, 50


def model_with(attention, feedforward=None) -> ModelConfig:
    return ModelConfig(
        d_model=D,
        n_layers=L,
        seq_len=4,
        attention=attention,
        feedforward=feedforward or DenseFeedForward(d_ff=16),
    )


@pytest.mark.parametrize(
    ("model", "idle"),
    [
        (model_with(DenseAttention(n_heads=2, d_head=4)), 0),
        # 2 heads, value and output: 3 of 5 experts idle, each 8 * 4 weights.
        (
            model_with(SwitchHeadAttention(n_heads=2, d_head=4, n_experts=5, top_k=2)),
            2 * 2 * 3 * 8 * 4,
        ),
        # Query and output: 2 of 5 heads idle.
        (model_with(MoaAttention(n_heads=3, n_experts=5, d_head=4)), 2 * 2 * 8 * 4),
        # Up and down: 5 of 6 experts idle.
        (
            model_with(
                DenseAttention(n_heads=2, d_head=4),
                SigmaMoeFeedForward(n_experts=6, d_expert=7, top_k=1),
            ),
            2 * 5 * 8 * 7,
        ),
    ],
    ids=["dense", "switchhead", "moa", "sigma-moe"],
)
def test_active_parameters_exclude_idle_experts_and_other_tokens(model, idle: int) -> None:
    total = count_parameters(model, V).total
    assert active_parameters(model, V) == total - L * idle - (V - 1) * D


def test_summary_adds_up() -> None:
    model = model_with(SwitchHeadAttention(n_heads=2, d_head=4, n_experts=5, top_k=2))
    counters = [closed_form_counter("equations"), closed_form_counter("published")]
    data = summarise_budget(model, counters, V).as_data()
    assert data["parameters"]["total"] == sum(data["parameters"]["parts"].values())
    for convention in ("equations", "published"):
        cost = data["costs"][convention]
        attention = attention_macs(model, convention)
        assert cost["attention_macs_per_layer"] == attention
        assert cost["layer_macs"] == attention + 4 * 2 * D * 16
        assert cost["model_macs"] == L * cost["layer_macs"] + 4 * D * V
        assert cost["model_macs_per_token"] == cost["model_macs"] / 4
    assert data["output_macs_per_token"] == D * V
