"""The plan that all layers of a forward pass share: mask and position table.

Letters: B batch, T query positions, S key positions (memory + chunk), D d_model, R rows of the
table of distances, N rotated channels.
"""

from dataclasses import dataclass
from functools import cache
from typing import assert_never

import torch
from torch import Tensor

from switchhead_lab.config.architecture import Direction, ModelConfig
from switchhead_lab.variants.positions import PositionsConfig, RopePositions, TransformerXLPositions

_XL_BASE = 10_000.0
_DISTANCES_MULTIPLE = 8


@dataclass(frozen=True)
class SequencePlan:
    """Queries and keys of a forward pass; the queries are the last T of the S positions.

    Attributes:
        n_queries: T.
        n_keys: S.
        is_plainly_causal: True for plain causal masking with T == S, for which kernels need no
            mask.
        mask: Added to the scores, 0 or -inf, shape [T, S], or [B, 1, S] or [B, T, S] with padding;
            None if every query sees every key.
        table: Transformer-XL: sines and cosines of distances, shape [R, D]. RoPE: cosines and
            sines of positions, shape [2, S, N / 2].
        is_token_BT: False for padding, shape [B, T]; None without padding.
    """

    n_queries: int
    n_keys: int
    is_plainly_causal: bool
    mask: Tensor | None
    table: Tensor
    is_token_BT: Tensor | None = None

    @property
    def masks_only_the_future(self) -> bool:
        """Whether every query sees exactly the keys up to its own position."""
        is_shared = self.mask is not None and self.mask.dim() == 2
        return self.is_plainly_causal or is_shared


def plan_sequences(
    model: ModelConfig,
    n_queries: int,
    n_keys: int,
    *,
    dtype: torch.dtype,
    device: torch.device,
    is_token_BT: Tensor | None = None,
) -> SequencePlan:
    """Plan a forward pass.

    Args:
        model: Architecture.
        n_queries: Query positions T.
        n_keys: Key positions S, T <= S.
        dtype: Dtype of matmuls.
        device: Device of mask and table.
        is_token_BT: False for padding, shape [B, T] with T = S; None without padding.
    """
    is_causal = model.direction == "causal"
    mask, table = _constants(
        model.positions,
        model.direction,
        model.d_model,
        model.attention.d_head,
        n_queries,
        n_keys,
        dtype,
        device,
    )
    if is_token_BT is not None:
        assert n_queries == n_keys, "padding and memory exclude each other"
        padding = torch.zeros(is_token_BT.shape, dtype=dtype, device=device)
        padding_B1S = padding.masked_fill(~is_token_BT, float("-inf"))[:, None]
        mask = padding_B1S if mask is None else padding_B1S + mask
    return SequencePlan(
        n_queries,
        n_keys,
        is_plainly_causal=is_causal and is_token_BT is None and n_queries == n_keys,
        mask=mask,
        table=table,
        is_token_BT=is_token_BT,
    )


# Unbounded: a captured step reads table and mask at the same addresses in every replay.
@cache
def _constants(
    positions: PositionsConfig,
    direction: Direction,
    d_model: int,
    d_head: int,
    n_queries: int,
    n_keys: int,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Tensor | None, Tensor]:
    """Return mask and table, which depend only on shapes and are therefore cached.

    Validation and training share them, so they must not be inference tensors.
    """
    with torch.inference_mode(mode=False), torch.no_grad():
        mask = future_mask(n_queries, n_keys, dtype, device) if direction == "causal" else None
        match positions:
            case TransformerXLPositions():
                table = relative_position_table(n_queries, n_keys, d_model, direction, device)
            case RopePositions():
                table = rotation_table(positions, n_keys, d_head, device)
            case _:
                assert_never(positions)
        return mask, table.to(dtype)


def future_mask(n_queries: int, n_keys: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return [T, S]: -inf where the key is after the query, else 0."""
    mask = torch.full((n_queries, n_keys), float("-inf"), dtype=dtype, device=device)
    return mask.triu_(n_keys - n_queries + 1)


def relative_position_table(
    n_queries: int, n_keys: int, d_model: int, direction: Direction, device: torch.device
) -> Tensor:
    """Return the sinusoidal table of the distances key minus query, from -(S - 1) on.

    The table ends with distance 1 for a causal model and T for a bidirectional one; on a GPU it is
    extended to a multiple of 8 distances. These last distances do not occur. The first of them
    gives the table a width at which scores by distance can be viewed as scores by key
    (`switchhead_kernels.relative_attention.shift_to_keys`).

    Source: Transformer-XL (arXiv:1901.02860), Sec. 3.3; sine on even, cosine on odd channels.

    Returns:
        Shape [S + 1, D] or [S + T, D], on a GPU with more rows, float32.
    """
    last = 1 if direction == "causal" else n_queries
    if device.type == "cuda":
        # Matmuls with an odd number of distances would not use fast kernels.
        last += -(n_keys + last) % _DISTANCES_MULTIPLE
    distance = torch.arange(-(n_keys - 1), last + 1, dtype=torch.float32, device=device)
    channel = torch.arange(0, d_model, 2, dtype=torch.float32, device=device)
    angle = distance[:, None] * _XL_BASE ** (-channel / d_model)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def n_rotated_channels(positions: RopePositions, d_head: int) -> int:
    """Return how many channels of a head are rotated: an even number."""
    return 2 * int(d_head * positions.rotate_fraction / 2)


def rotation_table(
    positions: RopePositions, n_keys: int, d_head: int, device: torch.device
) -> Tensor:
    """Return the cosines and sines by which each position is rotated.

    Source: RoFormer (arXiv:2104.09864), Sec. 3.4.2.

    Returns:
        Shape [2, S, N / 2], float32.
    """
    n = n_rotated_channels(positions, d_head)
    position = torch.arange(n_keys, dtype=torch.float32, device=device)
    channel = torch.arange(0, n, 2, dtype=torch.float32, device=device)
    angle = position[:, None] * positions.base ** (-channel / max(n, 1))
    return torch.stack([angle.cos(), angle.sin()])
