"""Attention maps read from a layer's own code, against the equations."""

import math

import numpy as np
import pytest
import torch

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.errors import RecordError
from switchhead_lab.model.transformer import Transformer, build_model
from switchhead_lab.trained.attention_maps import attention_maps
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.positions import RopePositions, TransformerXLPositions
from switchhead_lab.variants.switchhead import SwitchHeadAttention

TOKENS = [3, 1, 4, 1, 5, 9, 2]
DENSE = DenseAttention(n_heads=2, d_head=4)
MOA = MoaAttention(n_heads=2, n_experts=3, d_head=4)
SWITCHHEAD = SwitchHeadAttention(n_heads=2, d_head=4, n_experts=3, top_k=2)


def model_of(attention=DENSE, direction="bidirectional", positions=None) -> Transformer:
    config = ModelConfig(
        d_model=16,
        n_layers=2,
        seq_len=8,
        context_multiple=1,
        direction=direction,
        positions=positions or TransformerXLPositions(),
        attention=attention,
        feedforward=DenseFeedForward(d_ff=32),
    )
    return build_model(config, 12, seed=1).eval()


@pytest.mark.parametrize(
    "attention", [DENSE, SWITCHHEAD, MoaAttention(n_heads=2, n_experts=3, d_head=4)]
)
@pytest.mark.parametrize("direction", ["bidirectional", "causal"])
@pytest.mark.parametrize("positions", [TransformerXLPositions(), RopePositions()])
def test_maps_are_distributions_over_the_keys_that_a_query_sees(attention, direction, positions):
    layers = attention_maps(model_of(attention, direction, positions), TOKENS)
    assert len(layers) == 2
    for layer in layers:
        assert layer.map_HTS.shape == (2, 7, 7)
        np.testing.assert_allclose(layer.map_HTS.sum(axis=-1), 1.0, atol=1e-5)
        is_future = np.triu(np.ones((7, 7), dtype=bool), 1)
        assert (layer.map_HTS[:, is_future] == 0).all() == (direction == "causal")
        np.testing.assert_array_equal(layer.maximum_TS, layer.map_HTS.max(axis=0))


@torch.no_grad()
def test_maps_of_the_first_layer_by_the_equations():
    model = model_of()
    torch.nn.init.normal_(model.blocks[0].attention.positions.content_bias)
    torch.nn.init.normal_(model.blocks[0].attention.positions.position_bias)
    layer, (found, _) = model.blocks[0].attention, attention_maps(model, TOKENS)
    x_TD = model.blocks[0].attention_norm(model.embedding(torch.tensor(TOKENS)) * math.sqrt(16))
    positions = layer.positions
    for head in range(2):
        rows = slice(4 * head, 4 * head + 4)
        query, key = x_TD @ layer.query_weight[rows].T, x_TD @ layer.key_weight[rows].T
        scores = torch.empty(7, 7)
        for i in range(7):
            for j in range(7):
                channel = torch.arange(0, 16, 2)
                angle = (j - i) * 10_000.0 ** (-channel / 16)
                distance = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten()
                place = positions.weight[rows] @ distance
                content = (query[i] + positions.content_bias[head]) @ key[j]
                scores[i, j] = content + (query[i] + positions.position_bias[head]) @ place
        expected = torch.softmax(scores * positions.score_scale, dim=-1)
        np.testing.assert_allclose(found.map_HTS[head], expected, atol=1e-5)


@torch.no_grad()
def test_reading_maps_leaves_the_model_as_it_was():
    model, tokens = model_of(SWITCHHEAD), torch.tensor([TOKENS])
    before = model(tokens).logits_BTV
    attention_maps(model, TOKENS)
    assert torch.equal(model(tokens).logits_BTV, before)
    assert "attend" not in vars(model.blocks[0].attention.positions)


@torch.no_grad()
def test_choices_are_those_of_the_routers():
    model = model_of(SWITCHHEAD)
    choices = model(torch.tensor([TOKENS])).choices
    for number, layer in enumerate(attention_maps(model, TOKENS)):
        for router, weights_HTE in (
            ("value_router", layer.value_choice_HTE),
            ("output_router", layer.output_choice_HTE),
        ):
            choice = choices[f"blocks.{number}.attention.{router}"]
            assert weights_HTE.shape == (2, 7, 3)
            assert ((weights_HTE > 0).sum(axis=-1) == 2).all()
            for token in range(7):
                for head in range(2):
                    chosen = choice.index_NHK[token, head]
                    expected = choice.weight_NHK[token, head]
                    np.testing.assert_array_equal(weights_HTE[head, token, chosen], expected)


def test_dense_layers_and_shared_routers_have_no_choices_of_their_own():
    (layer, _) = attention_maps(model_of(), TOKENS)
    assert layer.value_choice_HTE is None
    shared = SWITCHHEAD.model_copy(update={"shared_selection": True})
    (layer, _) = attention_maps(model_of(shared), TOKENS)
    assert layer.value_choice_HTE is not None
    assert layer.output_choice_HTE is None


def test_a_layer_without_positions_is_refused():
    model = model_of()
    model.blocks[1].attention = torch.nn.Identity()
    with pytest.raises(RecordError, match="Identity has no attention maps"):
        attention_maps(model, TOKENS)
