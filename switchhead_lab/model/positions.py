"""Position encodings, each with the attention core that uses it.

Heads come first in every tensor, so that position scores take one large matmul per head, not one
per head and sequence.

Letters: B batch, T query positions, S key positions (memory + chunk), H heads, P d_head, D d_model,
R rows of the table of distances.
"""

import math
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_kernels.causal_attention import attend_causal, matmuls_are_faster
from switchhead_kernels.relative_attention import attend_relative
from switchhead_kernels.rotation import rotate
from switchhead_lab.model.initialisation import init_normal
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.variants.positions import PositionsConfig, RopePositions, TransformerXLPositions

_MOST_KEYS_OF_PLAIN_MATMULS = 192
# Beyond it, the saved weights of one layer take more than 64 MiB for each sequence of 16 heads.
_MOST_KEYS_OF_SAVED_WEIGHTS = 1024


class XLPositions(nn.Module):
    """Transformer-XL relative positions, with or without the learned terms of the dense baseline.

    `softmax(scale * ((q + u) . k_j + (q + v) . W_pos r(j - i)))`; without `has_bias`, u = v = 0 and
    scale = 1 / sqrt(P), both fixed.

    Source: Transformer-XL (arXiv:1901.02860), Sec. 3.3, as in SwitchHead (arXiv:2312.07987).
    Symbols: `weight` W_pos, `content_bias` u, `position_bias` v, `score_scale` scale.
    """

    def __init__(self, d_model: int, n_heads: int, d_head: int, *, has_bias: bool) -> None:
        super().__init__()
        self.d_head, self.has_bias = d_head, has_bias
        self.weight = nn.Parameter(torch.empty(n_heads * d_head, d_model))
        if has_bias:
            self.content_bias = nn.Parameter(torch.empty(n_heads, d_head))
            self.position_bias = nn.Parameter(torch.empty(n_heads, d_head))
            self.score_scale = nn.Parameter(torch.empty(1))

    @torch.no_grad()
    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Initialise every parameter; biases start at zero, the scale at 1 / sqrt(P)."""
        init_normal(self.weight, self.weight.shape[1], scale, generator)
        if self.has_bias:
            self.content_bias.zero_()
            self.position_bias.zero_()
            self.score_scale.fill_(1.0 / math.sqrt(self.d_head))

    def attend(
        self, query_HBTP: Tensor, key_HBSP: Tensor, value_HBSP: Tensor, plan: SequencePlan
    ) -> Tensor:
        """Attend from the last T of S positions.

        Args:
            query_HBTP: Shape [H, B, T, P], not scaled.
            key_HBSP: Shape [H, B, S, P].
            value_HBSP: Shape [H, B, S, P].
            plan: Mask, and distances to the keys.

        Returns:
            Shape [H, B, T, P].
        """
        dtype = query_HBTP.dtype
        position_key_RX = F.linear(plan.table, self.weight)
        # One projection may serve several heads.
        position_key_HRP = split_heads(position_key_RX, self.d_head).expand(
            query_HBTP.shape[0], -1, -1
        )
        if not self.has_bias:
            query_HBTP = query_HBTP * (1.0 / math.sqrt(self.d_head))
            return attend_relative(
                query_HBTP, None, key_HBSP, value_HBSP, position_key_HRP, plan.mask
            )
        scale = self.score_scale.to(dtype)
        content_bias, position_bias = (
            bias.to(dtype)[:, None, None] for bias in (self.content_bias, self.position_bias)
        )
        return attend_relative(
            (query_HBTP + content_bias) * scale,
            (query_HBTP + position_bias) * scale,
            key_HBSP,
            value_HBSP,
            position_key_HRP,
            plan.mask,
        )


class RotaryPositions(nn.Module):
    """RoPE: queries and keys rotated by their position; the score scale is 1 / sqrt(P).

    Rotates the first `rotate_fraction` of each head's channels (rounded down to an even number n),
    in pairs of channels c and c + n / 2.

    Source: RoFormer (arXiv:2104.09864), as in SwitchHead (arXiv:2312.07987), Sec. 3.6.
    """

    def reset_parameters(self, scale: float, generator: torch.Generator) -> None:
        """Do nothing: RoPE has no parameters."""

    def attend(
        self, query_HBTP: Tensor, key_HBSP: Tensor, value_HBSP: Tensor, plan: SequencePlan
    ) -> Tensor:
        """Attend from the last T of S positions; shapes as in `XLPositions.attend`."""
        return attend_scaled(
            rotate(query_HBTP, plan.table[:, -plan.n_queries :]),
            rotate(key_HBSP, plan.table),
            value_HBSP,
            plan,
        )


Positions = XLPositions | RotaryPositions


def build_positions(
    config: PositionsConfig, d_model: int, n_heads: int, d_head: int, *, has_bias: bool
) -> Positions:
    """Build the position encoding of an attention layer.

    Args:
        config: The encoding.
        d_model: Residual width.
        n_heads: Heads with their own position projection.
        d_head: Width of each head.
        has_bias: Whether Transformer-XL positions have the dense baseline's learned terms.
    """
    match config:
        case TransformerXLPositions():
            return XLPositions(d_model, n_heads, d_head, has_bias=has_bias)
        case RopePositions():
            return RotaryPositions()
        case _:
            assert_never(config)


def attend_scaled(
    query_HBTP: Tensor, key_HBSP: Tensor, value_HBSP: Tensor, plan: SequencePlan
) -> Tensor:
    """Attend with scores `q . k / sqrt(P)`: by PyTorch's fused attention where that is fastest.

    Matmuls with saved weights need more memory than the fused attention.
    """
    if matmuls_are_faster(query_HBTP.device):
        if plan.masks_only_the_future and plan.n_keys <= _MOST_KEYS_OF_SAVED_WEIGHTS:
            scale = 1.0 / math.sqrt(query_HBTP.shape[-1])
            return attend_causal(query_HBTP, key_HBSP, value_HBSP, scale)
        if plan.n_keys <= _MOST_KEYS_OF_PLAIN_MATMULS:
            return _attend_by_matmuls(query_HBTP, key_HBSP, value_HBSP, plan.mask)
    return F.scaled_dot_product_attention(
        query_HBTP,
        key_HBSP,
        value_HBSP,
        attn_mask=None if plan.is_plainly_causal else plan.mask,
        is_causal=plan.is_plainly_causal,
    )


def _attend_by_matmuls(
    query_HBTP: Tensor, key_HBSP: Tensor, value_HBSP: Tensor, mask: Tensor | None
) -> Tensor:
    H, B, T, P = query_HBTP.shape
    query_XTP = (query_HBTP * (1.0 / math.sqrt(P))).reshape(H * B, T, P)
    key_XPS = key_HBSP.reshape(H * B, -1, P).transpose(1, 2)
    if mask is None:
        scores_XTS = torch.bmm(query_XTP, key_XPS)
    else:
        by_sequence = mask if mask.dim() == 2 else mask.expand(H, *mask.shape).flatten(0, 1)
        scores_XTS = torch.baddbmm(by_sequence, query_XTP, key_XPS)
    weight_XTS = torch.softmax(scores_XTS, dim=-1)
    return torch.bmm(weight_XTS, value_HBSP.reshape(H * B, -1, P)).view(H, B, T, P)


def split_heads(x: Tensor, d_head: int) -> Tensor:
    """Split [..., H * P] into [H, ..., P]."""
    return x.unflatten(-1, (-1, d_head)).movedim(-2, 0)


def merge_heads(x_HBTP: Tensor) -> Tensor:
    """Join [H, B, T, P] into [B, T, H * P]."""
    return x_HBTP.permute(1, 2, 0, 3).flatten(2)
