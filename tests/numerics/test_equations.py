"""Every attention and feed-forward layer against per-token loops in float64, from the equations."""

import math

import pytest
import torch
from torch import Tensor

from switchhead_lab.config.architecture import (
    DenseAttention,
    MoaAttention,
    RopePositions,
    SigmaMoeFeedForward,
    SwitchHeadAttention,
    TransformerXLPositions,
)
from switchhead_lab.model.attention import build_attention
from switchhead_lab.model.feedforward import build_feedforward
from switchhead_lab.model.positions import XLPositions

D, T, S = 10, 7, 13  # odd sizes; S - T positions of memory


def position_vector(distance: int) -> Tensor:
    values = []
    for pair in range(D // 2):
        angle = distance * 10_000 ** (-2 * pair / D)
        values += [math.sin(angle), math.cos(angle)]
    return torch.tensor(values, dtype=torch.float64)


def rotated(x: Tensor, position: int) -> Tensor:
    """Rotate the first half of the channels (an even number of them), pair by pair."""
    n = 2 * (len(x) // 4)
    out = list(x)
    for c in range(n // 2):
        angle = position * 10_000 ** (-2 * c / n)
        a, b = x[c], x[c + n // 2]
        out[c] = a * math.cos(angle) - b * math.sin(angle)
        out[c + n // 2] = b * math.cos(angle) + a * math.sin(angle)
    return torch.stack(out)


def score(layer, head: int, query: Tensor, key: Tensor, i: int, j: int) -> Tensor:
    """Return the score of query position i for key position j."""
    positions, P = layer.positions, len(query)
    if not isinstance(positions, XLPositions):
        return rotated(query, i) @ rotated(key, j) / math.sqrt(P)
    r = positions.weight[head * P : (head + 1) * P] @ position_vector(j - i)
    if not positions.has_bias:
        return (query @ key + query @ r) / math.sqrt(P)
    u, v = positions.content_bias[head], positions.position_bias[head]
    return positions.score_scale[0] * ((query + u) @ key + (query + v) @ r)


def attend(layer, head: int, i: int, query: Tensor, keys: list, values: list) -> Tensor:
    """Return the weighted values that one query sees."""
    scores = [score(layer, head, query, keys[j], i, j) for j in range(i + 1)]
    weights = torch.softmax(torch.stack(scores), dim=0)
    return sum(w * value for w, value in zip(weights, values, strict=False))


def chosen(router, head: int, row: Tensor) -> list[tuple[int, Tensor]]:
    """Return the chosen experts of one token and head with their weights."""
    E = router.n_experts
    logits = router.weight[head * E : (head + 1) * E] @ row
    order = sorted(range(E), key=lambda e: (-logits[e].item(), e))[: router.top_k]
    picked = torch.stack([logits[e] for e in order])
    weights = torch.sigmoid(picked) if router.gate == "sigmoid" else torch.softmax(picked, 0)
    return list(zip(order, weights, strict=True))


def loop_dense(layer, context: Tensor) -> Tensor:
    P = layer.d_head
    out = [torch.zeros(D, dtype=torch.float64) for _ in range(T)]
    for head in range(layer.query_weight.shape[0] // P):
        rows = slice(head * P, (head + 1) * P)
        keys = [layer.key_weight[rows] @ row for row in context]
        values = [layer.value_weight[rows] @ row for row in context]
        for t in range(T):
            i = S - T + t
            query = layer.query_weight[rows] @ context[i]
            mixed = attend(layer, head, i, query, keys, values)
            out[t] = out[t] + layer.output_weight[:, rows] @ mixed
    return torch.stack(out)


def loop_switchhead(layer, context: Tensor) -> Tensor:
    config = layer.config
    P = config.d_head

    def project(name: str, weight: Tensor, head: int, row: Tensor, choice) -> Tensor:
        if name in config.expert_projections:
            return sum(s * (row @ weight[head, e]) for e, s in choice)
        return weight[head * P : (head + 1) * P] @ row

    source_router = getattr(layer, "value_router", None)
    destination_router = getattr(layer, "output_router", None)
    if config.shared_selection:
        destination_router = source_router
    out = [torch.zeros(D, dtype=torch.float64) for _ in range(T)]
    for head in range(config.n_heads):
        source = [source_router and chosen(source_router, head, row) for row in context]
        keys, values = (
            [project(n, w, head, row, c) for row, c in zip(context, source, strict=True)]
            for n, w in (("k", layer.key_weight), ("v", layer.value_weight))
        )
        for t in range(T):
            i = S - T + t
            choice = destination_router and chosen(destination_router, head, context[i])
            query = project("q", layer.query_weight, head, context[i], choice)
            mixed = attend(layer, head, i, query, keys, values)
            if "o" in config.expert_projections:
                for e, s in choice:
                    out[t] = out[t] + s * (mixed @ layer.output_weight[head, e])
            else:
                columns = slice(head * P, (head + 1) * P)
                out[t] = out[t] + layer.output_weight[:, columns] @ mixed
    return torch.stack(out)


def loop_moa(layer, context: Tensor) -> Tensor:
    keys = [layer.key_weight @ row for row in context]
    values = [layer.value_weight @ row for row in context]
    out = [torch.zeros(D, dtype=torch.float64) for _ in range(T)]
    for t in range(T):
        i = S - T + t
        for e, weight in chosen(layer.router, 0, context[i]):
            query = context[i] @ layer.query_weight[0, e]
            mixed = attend(layer, 0, i, query, keys, values)
            out[t] = out[t] + weight * (mixed @ layer.output_weight[0, e])
    return torch.stack(out)


SWITCHHEAD = {"n_heads": 2, "d_head": 5, "n_experts": 4, "top_k": 2}
SUBSETS = ["o", "ko", "vko", "vqo", "v", "qo", "vq", "vkqo", "kqo", "vkq", "vk", "q", "k", "kq"]
ATTENTION = {
    "dense": (DenseAttention(n_heads=3, d_head=5), loop_dense),
    "switchhead": (SwitchHeadAttention(**SWITCHHEAD), loop_switchhead),
    "all-experts": (
        SwitchHeadAttention(n_heads=1, d_head=3, n_experts=3, top_k=3),
        loop_switchhead,
    ),
    "one-expert": (SwitchHeadAttention(n_heads=3, d_head=4, n_experts=1, top_k=1), loop_switchhead),
    "shared": (SwitchHeadAttention(**SWITCHHEAD, shared_selection=True), loop_switchhead),
    "softmax": (SwitchHeadAttention(**SWITCHHEAD, gate="softmax"), loop_switchhead),
    "moa": (MoaAttention(n_heads=2, d_head=5, n_experts=4), loop_moa),
    "moa-sigmoid": (MoaAttention(n_heads=3, d_head=4, n_experts=3, gate="sigmoid"), loop_moa),
    **{
        f"experts-{subset}": (
            SwitchHeadAttention(**SWITCHHEAD, expert_projections=list(subset)),
            loop_switchhead,
        )
        for subset in SUBSETS
    },
}
POSITIONS = {"xl": TransformerXLPositions(), "rope": RopePositions()}


def randomise(layer: torch.nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)


def compare(ours: Tensor, theirs: Tensor, inputs: list[Tensor], generator) -> None:
    # The position tables are float32: that, not the arithmetic, bounds the agreement.
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=2e-6)
    grad_out = torch.randn(ours.shape, dtype=torch.float64, generator=generator)
    our_grads = torch.autograd.grad(ours, inputs, grad_out)
    their_grads = torch.autograd.grad(theirs, inputs, grad_out, materialize_grads=True)
    for ours_g, theirs_g in zip(our_grads, their_grads, strict=True):
        torch.testing.assert_close(ours_g, theirs_g, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("case", ATTENTION)
def test_attention_equals_the_loop(case: str, positions: str) -> None:
    config, loop = ATTENTION[case]
    layer = build_attention(config, POSITIONS[positions], D).double()
    generator = torch.Generator().manual_seed(3)
    randomise(layer, generator)
    context = torch.randn(2, S, D, dtype=torch.float64, generator=generator, requires_grad=True)
    ours = layer(context, T).output_BTD
    theirs = torch.stack([loop(layer, sequence) for sequence in context])
    compare(ours, theirs, [context, *layer.parameters()], generator)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_sigma_moe_equals_the_loop(top_k: int) -> None:
    config = SigmaMoeFeedForward(n_experts=4, d_expert=5, top_k=top_k)
    layer = build_feedforward(config, D).double()
    generator = torch.Generator().manual_seed(3)
    randomise(layer, generator)
    x = torch.randn(2, T, D, dtype=torch.float64, generator=generator, requires_grad=True)

    def loop(row: Tensor) -> Tensor:
        return sum(
            s * (torch.relu(row @ layer.up_weight[0, e]) @ layer.down_weight[0, e])
            for e, s in chosen(layer.router, 0, row)
        )

    theirs = torch.stack([torch.stack([loop(row) for row in sequence]) for sequence in x])
    compare(layer(x).output_BTD, theirs, [x, *layer.parameters()], generator)


@pytest.mark.parametrize("positions", POSITIONS)
def test_equal_to_dense_for_one_expert_with_gate_one(positions: str) -> None:
    """E = K = 1 with a saturated gate and no learned score terms is dense attention."""
    H, P = 3, 4
    generator = torch.Generator().manual_seed(0)
    encoding = POSITIONS[positions]
    dense = build_attention(DenseAttention(n_heads=H, d_head=P), encoding, D).double()
    dense.reset_parameters(1.0, generator)
    config = SwitchHeadAttention(n_heads=H, d_head=P, n_experts=1, top_k=1)
    sparse = build_attention(config, encoding, D).double()
    context = torch.randn(2, S, D, dtype=torch.float64, generator=generator)
    context[..., 0] = 1.0
    with torch.no_grad():
        for name in ("query_weight", "key_weight"):
            getattr(sparse, name).copy_(getattr(dense, name))
        if positions == "xl":
            sparse.positions.weight.copy_(dense.positions.weight)
        sparse.value_weight.copy_(dense.value_weight.view(H, 1, P, D).transpose(2, 3))
        sparse.output_weight.copy_(dense.output_weight.T.view(H, 1, P, D))
        for router in (sparse.value_router, sparse.output_router):
            router.weight.zero_()
            router.weight[:, 0] = 1e3  # times the constant channel: sigmoid is exactly 1
    torch.testing.assert_close(
        sparse(context, T).output_BTD, dense(context, T).output_BTD, rtol=1e-12, atol=1e-12
    )
