"""Outputs and all gradients of the paper's experiment code, memory included, in float32."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from switchhead_lab.config.schema import DenseAttention, SwitchHeadAttention
from switchhead_lab.model.attention import DenseXLAttention, SwitchHeadXLAttention

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


def run(layer: torch.nn.Module, vectors: Vectors) -> torch.Tensor:
    context = vectors.tensor("in.context").requires_grad_()
    out = layer(context, vectors.meta["seq_len"])
    out.backward(vectors.tensor("grad_out"))
    vectors.compare("out", out.detach())
    assert context.grad is not None
    vectors.compare("grad_in.context", context.grad)
    return context


def test_dense_xl() -> None:
    vectors = Vectors("dense_xl")
    H, P, D = (vectors.meta[key] for key in ("n_heads", "d_head", "d_model"))
    layer = DenseXLAttention(DenseAttention(n_heads=H, d_head=P), D)
    key_value = vectors.tensor("param.data_to_kv.weight").view(H, 2, P, D)
    names = {
        "query_weight": "data_to_q.weight",
        "position_weight": "pos_to_pq.weight",
        "output_weight": "multi_head_merge.weight",
        "content_bias": "global_content_bias",
        "position_bias": "global_pos_bias",
        "score_scale": "scale",
    }
    with torch.no_grad():
        layer.key_weight.copy_(key_value[:, 0].reshape(H * P, D))
        layer.value_weight.copy_(key_value[:, 1].reshape(H * P, D))
        for ours, theirs in names.items():
            getattr(layer, ours).copy_(vectors.tensor(f"param.{theirs}"))
    run(layer, vectors)
    for ours, theirs in names.items():
        vectors.compare(f"grad_param.{theirs}", getattr(layer, ours).grad)
    key_grad, value_grad = (
        weight.grad.view(H, 1, P, D) for weight in (layer.key_weight, layer.value_weight)
    )
    vectors.compare("grad_param.data_to_kv.weight", torch.cat([key_grad, value_grad], dim=1))
    assert not vectors.unused


def test_switchhead_xl() -> None:
    vectors = Vectors("switchhead_xl")
    meta = vectors.meta
    config = SwitchHeadAttention(
        n_heads=meta["n_heads"],
        d_head=meta["d_head"],
        n_experts=meta["n_experts"],
        top_k=meta["moe_k"],
    )
    layer = SwitchHeadXLAttention(config, meta["d_model"])
    names = {
        "query_weight": "projections.q",
        "key_weight": "projections.k",
        "value_weight": "projections.v",
        "output_weight": "projections.o",
        "position_weight": "pos_to_pk",
        "value_router.weight": "selections.v",
        "output_router.weight": "selections.o",
    }
    parameters = dict(layer.named_parameters())
    assert set(parameters) == set(names)
    with torch.no_grad():
        for ours, theirs in names.items():
            value = vectors.tensor(f"param.{theirs}")
            parameters[ours].copy_(value.reshape(parameters[ours].shape))
    run(layer, vectors)
    for ours, theirs in names.items():
        grad = parameters[ours].grad
        assert grad is not None
        vectors.compare(f"grad_param.{theirs}", grad)
    assert not vectors.unused


@pytest.mark.parametrize("name", ["dense_xl", "switchhead_xl"])
def test_vectors_have_a_memory(name: str) -> None:
    meta = Vectors(name).meta
    assert meta["context_len"] > meta["seq_len"]
