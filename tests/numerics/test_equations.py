"""Attention layers against per-token loops written from the equations, in float64."""

import math

import pytest
import torch
from torch import Tensor

from switchhead_lab.config.schema import DenseAttention, SwitchHeadAttention
from switchhead_lab.model.attention import build_attention

D, T, S = 10, 7, 13  # odd sizes; S - T positions of memory


def position_vector(distance: int) -> Tensor:
    values = []
    for pair in range(D // 2):
        angle = distance * 10_000 ** (-2 * pair / D)
        values += [math.sin(angle), math.cos(angle)]
    return torch.tensor(values, dtype=torch.float64)


def mixed_values(layer, head: int, context: Tensor, values: list[Tensor], scale, u, v):
    """Return the attention-weighted values of each query, one head, one sequence."""
    P = layer.d_head
    rows = slice(head * P, (head + 1) * P)
    out = []
    for query_position in range(S - T, S):
        query = layer.query_weight[rows] @ context[query_position]
        scores = []
        for key_position in range(query_position + 1):
            key = layer.key_weight[rows] @ context[key_position]
            position = layer.position_weight[rows] @ position_vector(key_position - query_position)
            scores.append(scale * ((query + u) @ key + (query + v) @ position))
        weights = torch.softmax(torch.stack(scores), dim=0)
        out.append(sum(w * value for w, value in zip(weights, values, strict=False)))
    return out


def chosen(layer_router, head: int, row: Tensor) -> list[tuple[int, Tensor]]:
    E = layer_router.n_experts
    scores = torch.sigmoid(layer_router.weight[head * E : (head + 1) * E] @ row)
    order = sorted(range(E), key=lambda e: (-scores[e].item(), e))
    return [(e, scores[e]) for e in order[: layer_router.top_k]]


def loop_dense(layer, context: Tensor) -> Tensor:
    P = layer.d_head
    total = [torch.zeros(D, dtype=torch.float64) for _ in range(T)]
    for head in range(layer.n_heads):
        rows = slice(head * P, (head + 1) * P)
        values = [layer.value_weight[rows] @ row for row in context]
        mixed = mixed_values(
            layer,
            head,
            context,
            values,
            layer.score_scale[0],
            layer.content_bias[head],
            layer.position_bias[head],
        )
        total = [t + layer.output_weight[:, rows] @ m for t, m in zip(total, mixed, strict=True)]
    return torch.stack(total)


def loop_switchhead(layer, context: Tensor) -> Tensor:
    total = [torch.zeros(D, dtype=torch.float64) for _ in range(T)]
    for head in range(layer.n_heads):
        values = [
            sum(s * (row @ layer.value_weight[head, e]) for e, s in choice)
            for row in context
            for choice in [chosen(layer.value_router, head, row)]
        ]
        scale = 1 / math.sqrt(layer.d_head)
        mixed = mixed_values(layer, head, context, values, scale, 0.0, 0.0)
        for t, m in enumerate(mixed):
            for e, s in chosen(layer.output_router, head, context[S - T + t]):
                total[t] = total[t] + s * (m @ layer.output_weight[head, e])
    return torch.stack(total)


CASES = {
    "dense": (DenseAttention(n_heads=3, d_head=5), loop_dense),
    "switchhead": (SwitchHeadAttention(n_heads=2, d_head=5, n_experts=4, top_k=2), loop_switchhead),
    "all-experts": (
        SwitchHeadAttention(n_heads=1, d_head=3, n_experts=3, top_k=3),
        loop_switchhead,
    ),
    "one-expert": (SwitchHeadAttention(n_heads=3, d_head=4, n_experts=1, top_k=1), loop_switchhead),
}


@pytest.mark.parametrize("case", CASES)
def test_layer_equals_the_loop(case: str) -> None:
    config, loop = CASES[case]
    layer = build_attention(config, D).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)
    context = torch.randn(2, S, D, dtype=torch.float64, generator=generator, requires_grad=True)
    grad_out = torch.randn(2, T, D, dtype=torch.float64, generator=generator)
    inputs = [context, *layer.parameters()]
    ours = layer(context, T)
    theirs = torch.stack([loop(layer, sequence) for sequence in context])
    # The position table is float32: that, not the arithmetic, bounds the agreement.
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    our_grads = torch.autograd.grad(ours, inputs, grad_out)
    their_grads = torch.autograd.grad(theirs, inputs, grad_out, materialize_grads=True)
    for ours_g, theirs_g in zip(our_grads, their_grads, strict=True):
        torch.testing.assert_close(ours_g, theirs_g, rtol=1e-5, atol=1e-5)


def test_equal_to_dense_for_one_expert_with_gate_one() -> None:
    """E = K = 1 with a saturated gate and no biases is dense attention of the same weights."""
    H, P = 3, 4
    generator = torch.Generator().manual_seed(0)
    dense = build_attention(DenseAttention(n_heads=H, d_head=P), D).double()
    dense.reset_parameters(1.0, generator)
    sparse = build_attention(
        SwitchHeadAttention(n_heads=H, d_head=P, n_experts=1, top_k=1), D
    ).double()
    context = torch.randn(2, S, D, dtype=torch.float64, generator=generator)
    context[..., 0] = 1.0
    with torch.no_grad():
        for name in ("query_weight", "key_weight", "position_weight"):
            getattr(sparse, name).copy_(getattr(dense, name))
        sparse.value_weight.copy_(dense.value_weight.view(H, 1, P, D).transpose(2, 3))
        sparse.output_weight.copy_(dense.output_weight.T.view(H, 1, P, D))
        for router in (sparse.value_router, sparse.output_router):
            router.weight.zero_()
            router.weight[:, 0] = 1e3  # times the constant channel: sigmoid is exactly 1
    torch.testing.assert_close(sparse(context, T), dense(context, T), rtol=1e-12, atol=1e-12)
