"""The MACs of an attention layer term by term: why the conventions differ.

Each term is a closed form in every convention; `remainder` is what the terms do not explain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.paper.models import PrintedModel, printed_models
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.moa import PUBLISHED_K, MoaAttention
from switchhead_lab.variants.switchhead import (
    DESTINATION_PROJECTIONS,
    SOURCE_PROJECTIONS,
    SwitchHeadAttention,
)


@dataclass(frozen=True)
class Term:
    """One part of a layer's MACs.

    Attributes:
        name: What is computed.
        macs: Multiply-accumulates by convention.
    """

    name: str
    macs: dict[str, int]

    @property
    def differs(self) -> bool:
        """Whether the conventions disagree about it."""
        return len(set(self.macs.values())) > 1


def terms_of(model: ModelConfig) -> list[Term]:
    """Return the terms of the paper's attention layers: dense, SwitchHead or MoA.

    Raises:
        LookupError: If the paper has no such attention.
    """
    terms: dict[str, tuple[int, int, int]]
    match model.attention:
        case DenseAttention() as attention:
            terms = _dense(model, attention)
        case SwitchHeadAttention() as attention:
            terms = _switchhead(model, attention)
        case MoaAttention() as attention:
            terms = _moa(model, attention)
        case other:
            raise LookupError(f"the paper has no {other.kind} attention")
    found = [
        Term(name, dict(zip(("published", "equations", "executed"), macs, strict=True)))
        for name, macs in terms.items()
    ]
    return [term for term in found if any(term.macs.values())]


def remainder(model: ModelConfig, counter: CostCounter) -> int:
    """Return the MACs of a convention that the terms do not explain."""
    explained = sum(term.macs[counter.convention] for term in terms_of(model))
    return counter.attention_macs(model) - explained


def distinct_models() -> Iterator[PrintedModel]:
    """Yield the printed models whose attention layers differ, the first row of each."""
    seen: set[str] = set()
    for printed in printed_models():
        key = printed.model.model_dump_json(exclude={"n_layers", "feedforward"})
        if key not in seen:
            seen.add(key)
            yield printed


def _letters(model: ModelConfig, attention: Any) -> tuple[int, int, int, int, int]:
    """Return T, C, D, H and P."""
    T, C, D = model.seq_len, model.context_multiple, model.d_model
    return T, C, D, attention.n_heads, attention.d_head


def _positions(
    model: ModelConfig, n_projections: int, n_heads: int, d_head: int, *, omits_context: bool
) -> dict[str, tuple[int, int, int]]:
    """Return the terms of relative positions.

    The text prices 2CT projected distances and no scores; the layer projects the CT + 1 distances
    that occur, and multiplies queries by them.
    """
    T, C, D = model.seq_len, model.context_multiple, model.d_model
    n_terms, rows = model.positions.n_score_terms, C * T + 1
    equations = n_terms * 2 * C * T * n_projections * d_head * D
    published = equations // C if omits_context else equations
    return {
        "projections of distances": (
            published,
            equations,
            n_terms * rows * n_projections * d_head * D,
        ),
        "scores of distances": (0, 0, n_terms * T * rows * n_heads * d_head),
    }


def _dense(model: ModelConfig, attention: DenseAttention) -> dict[str, tuple[int, int, int]]:
    T, C, D, H, P = _letters(model, attention)
    return {
        "projections of the chunk": _same(4 * H * T * P * D),
        "keys and values of the memory": (0, 0, 2 * (C - 1) * T * H * P * D),
        "content scores and weighted values": _same(2 * C * H * T * T * P),
        **_positions(model, H, H, P, omits_context=False),
    }


def _switchhead(
    model: ModelConfig, attention: SwitchHeadAttention
) -> dict[str, tuple[int, int, int]]:
    T, C, D, H, P = _letters(model, attention)
    E, K, experts = attention.n_experts, attention.top_k, set(attention.expert_projections)
    n = len(experts)
    of_memory = sum(K if name in experts else 1 for name in SOURCE_PROJECTIONS)
    sides = [
        C * bool(experts & {*SOURCE_PROJECTIONS}),
        1 * bool(experts & {*DESTINATION_PROJECTIONS}),
    ]
    routed = max(sides) if attention.shared_selection else sum(sides)
    return {
        "projections of the chunk": _same((4 - n) * H * T * P * D + n * H * T * K * P * D),
        "gates of the chosen experts": (n * H * T * K * P, n * H * T * K * P, 0),
        "routers": (attention.n_routers * E * D * T * C, 0, routed * H * E * D * T),
        "keys and values of the memory": (0, 0, (C - 1) * T * H * P * D * of_memory),
        "content scores and weighted values": _same(2 * C * H * T * T * P),
        **_positions(model, H, H, P, omits_context=True),
    }


def _moa(model: ModelConfig, attention: MoaAttention) -> dict[str, tuple[int, int, int]]:
    T, C, D, H, P = _letters(model, attention)
    router = attention.n_experts * D * T
    return {
        "projections of the chunk": _same((2 * H + 2) * T * P * D),
        "gates of the chosen heads": (H * PUBLISHED_K * T * P, 0, 0),
        "routers": (router, 0, router),
        "keys and values of the memory": (0, 0, 2 * (C - 1) * T * P * D),
        "content scores and weighted values": _same(2 * C * H * T * T * P),
        **_positions(model, 1, H, P, omits_context=False),
    }


def _same(macs: int) -> tuple[int, int, int]:
    return macs, macs, macs
