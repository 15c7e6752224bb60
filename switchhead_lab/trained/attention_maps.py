"""Attention maps and router choices of a trained model, as arrays.

Letters: H heads, T query positions, S key positions, P d_head, E experts per head, N tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from switchhead_lab.errors import RecordError
from switchhead_lab.model.positions import Positions, RotaryPositions, XLPositions
from switchhead_lab.model.router import RoutingDecision
from switchhead_lab.model.router_use import OUTPUT_ROUTER, VALUE_ROUTER
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.model.transformer import Transformer

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LayerMaps:
    """Attention of one layer for one sequence.

    Attributes:
        map_HTS: Attention weights of each head, float32; rows sum to 1.
        value_choice_HTE: Weight of each expert of the value router at each key position, 0 where it
            was not chosen; None without that router.
        output_choice_HTE: Likewise of the output router at each query position.
    """

    map_HTS: Array
    value_choice_HTE: Array | None
    output_choice_HTE: Array | None

    @property
    def maximum_TS(self) -> Array:
        """The largest weight over heads."""
        largest: Array = self.map_HTS.max(axis=0)
        return largest


@torch.no_grad()
def attention_maps(model: Transformer, tokens: Sequence[int]) -> list[LayerMaps]:
    """Return the attention maps of every layer for one sequence, without memory.

    Args:
        model: A model in evaluation mode.
        tokens: Tokens of the sequence, without padding.

    Raises:
        RecordError: If a layer has no attention with positions, from which maps can be read.
    """
    attentions = [_positions_of(block.attention) for block in model.blocks]
    with _recorded(attentions) as maps:
        output = model(torch.tensor([list(tokens)], device=model.embedding.weight.device))
    return [
        LayerMaps(
            _array(maps[number]),
            _choice(output.choices.get(f"blocks.{number}.attention.{VALUE_ROUTER}")),
            _choice(output.choices.get(f"blocks.{number}.attention.{OUTPUT_ROUTER}")),
        )
        for number in range(len(attentions))
    ]


def _positions_of(attention: object) -> Positions:
    positions = getattr(attention, "positions", None)
    if not isinstance(positions, XLPositions | RotaryPositions):
        raise RecordError(
            f"{type(attention).__name__} has no attention maps: they are read from its "
            "`positions`, a Transformer-XL or RoPE encoding"
        )
    return positions


@contextmanager
def _recorded(attentions: Sequence[Positions]) -> Iterator[list[Tensor]]:
    """Collect the attention weights of layers, [H, T, S] each, while the block runs."""
    maps: list[Tensor] = []
    for positions in attentions:
        positions.attend = _recording(positions, maps)  # type: ignore[method-assign]
    try:
        yield maps
    finally:
        for positions in attentions:
            del positions.attend


def _recording(positions: Positions, maps: list[Tensor]) -> Callable[..., Tensor]:
    """Return `attend` of an encoding that also appends its weights.

    Attention returns weights times values, so unit vectors as values give the weights: exactly
    those of the layer's own code, which has no other way to return them.
    """
    attend = positions.attend

    def recording(query: Tensor, key: Tensor, value: Tensor, plan: SequencePlan) -> Tensor:
        n_keys, width = value.shape[-2:]
        n_columns = -(-n_keys // width) * width  # kernels expect values of the given width
        unit = torch.eye(n_keys, n_columns, dtype=value.dtype, device=value.device)
        parts = [attend(query, key, part.expand_as(value), plan) for part in unit.split(width, 1)]
        maps.append(torch.cat(parts, dim=-1)[:, 0, :, :n_keys])
        return attend(query, key, value, plan)

    return recording


def _choice(choice: RoutingDecision | None) -> Array | None:
    if choice is None:
        return None
    weight_NHE = torch.zeros_like(choice.logits_NHE)
    weight_NHE.scatter_(-1, choice.index_NHK, choice.weight_NHK)
    return _array(weight_NHE.transpose(0, 1))


def _array(x: Tensor) -> Array:
    array: Array = x.float().cpu().numpy()
    return array
