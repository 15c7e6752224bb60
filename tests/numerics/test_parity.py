"""Parity with the paper's experiment code: outputs and all gradients, in float32."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from layer_plans import plan_of

from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.positions import RopePositions, TransformerXLPositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

VECTORS = Path(__file__).parent / "vectors"
TOLERANCE = 1e-5


class Vectors:
    """One file of vectors; `unused` shrinks as values are compared."""

    def __init__(self, name: str) -> None:
        with np.load(VECTORS / f"{name}.npz") as file:
            self.values = {key: file[key] for key in file.files}
        self.meta = json.loads(str(self.values.pop("meta")))
        self.unused = {key for key in self.values if key.startswith("grad_") and key != "grad_out"}

    def tensor(self, key: str) -> torch.Tensor:
        return torch.tensor(self.values[key])

    def compare(self, key: str, ours: torch.Tensor) -> None:
        theirs = self.tensor(key)
        ours = ours.reshape(theirs.shape)
        error = (ours - theirs).norm() / theirs.norm()
        assert error < TOLERANCE, f"{key}: relative error {error:.2e}"
        self.unused.discard(key)

    def run(self, layer: torch.nn.Module, name: str, attention=None, positions=None) -> None:
        """Compare output and input gradient of a layer on the named input."""
        x = self.tensor(f"in.{name}").requires_grad_()
        n_keys, d_model = x.shape[1:]
        n_queries = self.meta.get("seq_len", n_keys)
        out = layer(x, plan_of(n_queries, n_keys, d_model, attention, positions)).output_BTD
        out.backward(self.tensor("grad_out"))
        self.compare("out", out.detach())
        assert x.grad is not None
        self.compare(f"grad_in.{name}", x.grad)

    def load(self, layer: torch.nn.Module, names: dict[str, str]) -> None:
        """Copy the reference's parameters into ours; layouts differ only by a reshape."""
        parameters = dict(layer.named_parameters())
        assert set(parameters) == set(names)
        with torch.no_grad():
            for ours, theirs in names.items():
                value = self.tensor(f"param.{theirs}")
                parameters[ours].copy_(value.reshape(parameters[ours].shape))

    def compare_gradients(self, layer: torch.nn.Module, names: dict[str, str]) -> None:
        parameters = dict(layer.named_parameters())
        for ours, theirs in names.items():
            grad = parameters[ours].grad
            assert grad is not None, ours
            self.compare(f"grad_param.{theirs}", grad)
        assert not self.unused


def test_dense_xl() -> None:
    vectors = Vectors("dense_xl")
    H, P, D = (vectors.meta[key] for key in ("n_heads", "d_head", "d_model"))
    config = DenseAttention(n_heads=H, d_head=P)
    layer = config.build(TransformerXLPositions(), D)
    # The reference interleaves keys and values per head in one matrix.
    key_value = vectors.tensor("param.data_to_kv.weight").view(H, 2, P, D)
    for number, name in enumerate(("key", "value")):
        vectors.values[f"param.{name}"] = key_value[:, number].numpy()
    names = {
        "query_weight": "data_to_q.weight",
        "key_weight": "key",
        "value_weight": "value",
        "output_weight": "multi_head_merge.weight",
        "positions.weight": "pos_to_pq.weight",
        "positions.content_bias": "global_content_bias",
        "positions.position_bias": "global_pos_bias",
        "positions.score_scale": "scale",
    }
    vectors.load(layer, names)
    vectors.run(layer, "context", config, TransformerXLPositions())
    grads = [layer.get_parameter(f"{n}_weight").grad for n in ("key", "value")]
    joined = torch.cat([grad.view(H, 1, P, D) for grad in grads], dim=1)
    vectors.compare("grad_param.data_to_kv.weight", joined)
    del names["key_weight"], names["value_weight"]
    vectors.compare_gradients(layer, names)


@pytest.mark.parametrize(
    ("name", "positions"),
    [("switchhead_xl", TransformerXLPositions()), ("switchhead_rope", RopePositions())],
)
def test_switchhead(name: str, positions) -> None:
    vectors = Vectors(name)
    meta = vectors.meta
    config = SwitchHeadAttention(
        n_heads=meta["n_heads"],
        d_head=meta["d_head"],
        n_experts=meta["n_experts"],
        top_k=meta["moe_k"],
    )
    layer = config.build(positions, meta["d_model"])
    names = {
        "query_weight": "projections.q",
        "key_weight": "projections.k",
        "value_weight": "projections.v",
        "output_weight": "projections.o",
        "value_router.weight": "selections.v",
        "output_router.weight": "selections.o",
    }
    if isinstance(positions, TransformerXLPositions):
        names["positions.weight"] = "pos_to_pk"
    vectors.load(layer, names)
    vectors.run(layer, "context", config, positions)
    vectors.compare_gradients(layer, names)


def test_sigma_moe() -> None:
    vectors = Vectors("sigma_moe")
    meta = vectors.meta
    config = SigmaMoeFeedForward(
        n_experts=meta["n_experts"], d_expert=meta["d_expert"], top_k=meta["top_k"]
    )
    layer = config.build(meta["d_model"])
    names = {"up_weight": "keys", "down_weight": "values", "router.weight": "expert_sel"}
    vectors.load(layer, names)
    vectors.run(layer, "x")
    vectors.compare_gradients(layer, names)


@pytest.mark.parametrize("name", ["dense_xl", "switchhead_xl"])
def test_transformer_xl_vectors_have_a_memory(name: str) -> None:
    meta = Vectors(name).meta
    assert meta["context_len"] > meta["seq_len"]
