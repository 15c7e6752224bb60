"""The layers as loops over tokens, heads and experts in float64, written from the equations.

Only the keys that one query sees are stacked, for its scores; nothing else is vectorised. Distances
and angles are computed here, not read from the layers' tables.

Letters: T query positions, S key positions (memory + chunk), D d_model, P d_head, E experts,
C rotated channels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from switchhead_lab.model.positions import XLPositions
from switchhead_lab.model.router import Router
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.variants.positions import PositionsConfig, TransformerXLPositions

BASE = 10_000.0


@dataclass(frozen=True)
class Example:
    """One sequence: its S positions, and the keys that each of its T queries sees."""

    context_SD: Tensor
    seen: Sequence[list[int]]

    @property
    def queries(self) -> range:
        """Positions of the queries: the last T."""
        n_keys = len(self.context_SD)
        return range(n_keys - len(self.seen), n_keys)


def causal(n_queries: int, n_keys: int) -> list[list[int]]:
    """Return the visible keys per query: up to its own position."""
    return [list(range(i + 1)) for i in range(n_keys - n_queries, n_keys)]


def unpadded(is_token_T: Tensor) -> list[list[int]]:
    """Return the visible keys per query: all except padding."""
    tokens = is_token_T.nonzero().flatten().tolist()
    return [tokens] * len(is_token_T)


def exact_table(positions: PositionsConfig, plan: SequencePlan, width: int) -> Tensor:
    """Return the plan's table in float64.

    Args:
        positions: The kind of table.
        plan: Plan with the rows; with Transformer-XL positions row r is distance r - (S - 1).
        width: d_model with Transformer-XL positions, d_head with RoPE.
    """
    if isinstance(positions, TransformerXLPositions):
        distances = range(1 - plan.n_keys, 1 - plan.n_keys + len(plan.table))
        return torch.stack([position_vector(distance, width) for distance in distances])
    angles = torch.tensor(
        [rotation_angles(position, width) for position in range(plan.n_keys)], dtype=torch.float64
    )
    return torch.stack([angles.cos(), angles.sin()])


@cache
def position_vector(distance: int, d_model: int) -> Tensor:
    values: list[float] = []
    for pair in range(d_model // 2):
        angle = distance * BASE ** (-2 * pair / d_model)
        values += [math.sin(angle), math.cos(angle)]
    return torch.tensor(values, dtype=torch.float64)


def rotation_angles(position: int, d_head: int) -> list[float]:
    """Return the angle of each pair of rotated channels, by the channel of the first half."""
    C = 2 * (d_head // 4)
    return [position * BASE ** (-2 * c / C) for c in range(C // 2)]


@cache
def rotation(position: int, d_head: int) -> Tensor:
    """Return the [P, P] matrix that rotates channels c and c + C / 2 by the c-th angle."""
    angles = rotation_angles(position, d_head)
    matrix = torch.eye(d_head, dtype=torch.float64)
    for c, angle in enumerate(angles):
        a, b = c, c + len(angles)
        matrix[a, a] = matrix[b, b] = math.cos(angle)
        matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
    return matrix


def placed(layer: nn.Module, x: Tensor, position: int) -> Tensor:
    """Return a query or key at its position: rotated with RoPE, else unchanged."""
    if isinstance(layer.positions, XLPositions):
        return x
    return rotation(position, len(x)) @ x


def scores(layer, head: int, query: Tensor, i: int, keys: Tensor, seen: list[int]) -> Tensor:
    """Return the scores of the query at position i for the keys it sees."""
    positions, P = layer.positions, len(query)
    if not isinstance(positions, XLPositions):
        return keys @ query / math.sqrt(P)
    weight = positions.weight[head * P : (head + 1) * P]
    r = torch.stack([position_vector(j - i, weight.shape[1]) for j in seen]) @ weight.T
    if not positions.has_bias:
        return (keys @ query + r @ query) / math.sqrt(P)
    u, v = positions.content_bias[head], positions.position_bias[head]
    return positions.score_scale[0] * (keys @ (query + u) + r @ (query + v))


def attend(
    layer, head: int, query: Tensor, i: int, keys: list[Tensor], values: list[Tensor], seen
) -> Tensor:
    """Return one query's weighted sum of values; `keys` are already `placed`."""
    seen_keys = torch.stack([keys[j] for j in seen])
    seen_values = torch.stack([values[j] for j in seen])
    query_scores = scores(layer, head, placed(layer, query, i), i, seen_keys, seen)
    return torch.softmax(query_scores, dim=0) @ seen_values


def chosen(router: Router, head: int, row: Tensor) -> list[tuple[int, Tensor]]:
    """Return the chosen experts of one token and head with their weights."""
    E = router.n_experts
    logits = router.weight[head * E : (head + 1) * E] @ row
    order = sorted(range(E), key=lambda e: (-logits[e].item(), e))[: router.top_k]
    picked = torch.stack([logits[e] for e in order])
    weights = torch.sigmoid(picked) if router.gate == "sigmoid" else torch.softmax(picked, 0)
    return list(zip(order, weights, strict=True))


def loop_dense(layer, example: Example) -> Tensor:
    context, P = example.context_SD, layer.d_head
    out = [torch.zeros_like(context[0]) for _ in example.queries]
    for head in range(layer.query_weight.shape[0] // P):
        rows = slice(head * P, (head + 1) * P)
        keys = [placed(layer, layer.key_weight[rows] @ x, j) for j, x in enumerate(context)]
        values = [layer.value_weight[rows] @ x for x in context]
        for t, i in enumerate(example.queries):
            query = layer.query_weight[rows] @ context[i]
            mixed = attend(layer, head, query, i, keys, values, example.seen[t])
            out[t] = out[t] + layer.output_weight[:, rows] @ mixed
    return torch.stack(out)


def loop_switchhead(layer, example: Example) -> Tensor:
    config, context, P = layer.config, example.context_SD, layer.config.d_head

    def project(name: str, weight: Tensor, head: int, row: Tensor, choice) -> Tensor:
        if name in config.expert_projections:
            return sum(s * (row @ weight[head, e]) for e, s in choice)
        return weight[head * P : (head + 1) * P] @ row

    source_router = getattr(layer, "value_router", None)
    destination_router = getattr(layer, "output_router", None)
    if config.shared_selection:
        destination_router = source_router
    out = [torch.zeros_like(context[0]) for _ in example.queries]
    for head in range(config.n_heads):
        source = [source_router and chosen(source_router, head, x) for x in context]
        keys, values = (
            [project(n, w, head, x, c) for x, c in zip(context, source, strict=True)]
            for n, w in (("k", layer.key_weight), ("v", layer.value_weight))
        )
        keys = [placed(layer, key, j) for j, key in enumerate(keys)]
        for t, i in enumerate(example.queries):
            choice = destination_router and chosen(destination_router, head, context[i])
            query = project("q", layer.query_weight, head, context[i], choice)
            mixed = attend(layer, head, query, i, keys, values, example.seen[t])
            if "o" in config.expert_projections:
                for e, s in choice:
                    out[t] = out[t] + s * (mixed @ layer.output_weight[head, e])
            else:
                columns = slice(head * P, (head + 1) * P)
                out[t] = out[t] + layer.output_weight[:, columns] @ mixed
    return torch.stack(out)


def loop_moa(layer, example: Example) -> Tensor:
    context = example.context_SD
    keys = [placed(layer, layer.key_weight @ x, j) for j, x in enumerate(context)]
    values = [layer.value_weight @ x for x in context]
    out = [torch.zeros_like(context[0]) for _ in example.queries]
    for t, i in enumerate(example.queries):
        for e, weight in chosen(layer.router, 0, context[i]):
            query = context[i] @ layer.query_weight[0, e]
            mixed = attend(layer, 0, query, i, keys, values, example.seen[t])
            out[t] = out[t] + weight * (mixed @ layer.output_weight[0, e])
    return torch.stack(out)


def loop_sigma_moe(block, x_TD: Tensor) -> Tensor:
    def transform(row: Tensor) -> Tensor:
        return sum(
            s * (torch.relu(row @ block.up_weight[0, e]) @ block.down_weight[0, e])
            for e, s in chosen(block.router, 0, row)
        )

    return torch.stack([transform(row) for row in x_TD])
