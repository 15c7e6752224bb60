import math

import pytest
import torch

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.model.initialisation import init_router
from switchhead_lab.model.transformer import build_model
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

N_LAYERS, D, F = 3, 96, 400


def model_with(attention, feedforward=None, seed: int = 0):
    config = ModelConfig(
        d_model=D,
        n_layers=N_LAYERS,
        seq_len=8,
        attention=attention,
        feedforward=feedforward or DenseFeedForward(d_ff=F),
    )
    return build_model(config, 500, seed)


@pytest.mark.parametrize(
    ("attention", "fan_ins"),
    [
        (
            DenseAttention(n_heads=4, d_head=40),
            {"query_weight": D, "key_weight": D, "value_weight": D, "output_weight": 160},
        ),
        (
            SwitchHeadAttention(n_heads=2, d_head=24, n_experts=4, top_k=2),
            {"query_weight": D, "value_weight": D, "output_weight": 48},
        ),
        (
            MoaAttention(n_heads=4, d_head=24, n_experts=6),
            {"query_weight": D, "key_weight": D, "value_weight": D, "output_weight": 96},
        ),
    ],
)
def test_std_inside_the_blocks(attention, fan_ins: dict[str, int]) -> None:
    model = model_with(attention)
    scale = math.sqrt(2 / N_LAYERS)
    block = model.blocks[1]
    for name, fan_in in fan_ins.items():
        std = getattr(block.attention, name).std().item()
        assert std == pytest.approx(scale / math.sqrt(fan_in), rel=0.05), name
    assert block.feedforward.up.weight.std().item() == pytest.approx(scale / math.sqrt(D), rel=0.05)
    assert block.feedforward.down.weight.std().item() == pytest.approx(
        scale / math.sqrt(F), rel=0.05
    )


def test_a_sigma_moe_has_the_std_of_a_dense_block_as_wide_as_all_its_experts() -> None:
    sigma_moe = SigmaMoeFeedForward(n_experts=8, d_expert=50, top_k=2)
    block = model_with(DenseAttention(n_heads=4, d_head=40), sigma_moe).blocks[1].feedforward
    scale = math.sqrt(2 / N_LAYERS)
    assert block.up_weight.std().item() == pytest.approx(scale / math.sqrt(D), rel=0.05)
    assert block.down_weight.std().item() == pytest.approx(scale / math.sqrt(8 * 50), rel=0.05)


def test_std_outside_the_blocks_and_zero_biases() -> None:
    model = model_with(DenseAttention(n_heads=4, d_head=40))
    for weight in (model.embedding.weight, model.output.weight):
        assert weight.std().item() == pytest.approx(1 / math.sqrt(D), rel=0.05)
    attention = model.blocks[0].attention
    for bias in (
        model.output.bias,
        model.blocks[0].feedforward.up.bias,
        attention.positions.content_bias,
        attention.positions.position_bias,
    ):
        assert not bias.any()
    assert attention.positions.score_scale.item() == pytest.approx(1 / math.sqrt(40))


def test_router_rows_have_equal_norm_and_the_std_is_kept() -> None:
    weight = torch.empty(12, 64)
    init_router(weight, 1.5, torch.Generator().manual_seed(0))
    norms = weight.norm(dim=1)
    torch.testing.assert_close(norms, norms[:1].expand(12))
    assert weight.std().item() == pytest.approx(1.5 / 8, rel=0.1)


def test_seed_decides_the_weights() -> None:
    attention = SwitchHeadAttention(n_heads=2, d_head=8, n_experts=2, top_k=1)
    first, again, other = (model_with(attention, seed=seed) for seed in (0, 0, 1))
    for x, y, z in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(x, y)
        # Biases are zero, and norms one, for every seed.
        assert x.dim() == 1 or not torch.equal(x, z)
