"""The dense Transformer as one writes it in plain PyTorch: no kernels of the lab.

Parameters have the names of `model.transformer.Transformer`, so that both can be given the same
weights and must then compute the same loss.

Letters: B batch, T query positions, S key positions (memory + chunk), D d_model, H heads, P d_head,
R distances.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.positions import RopePositions

Core = Literal["sdpa", "manual"]
"""How RoPE attention is computed: by PyTorch's fused attention, or by matmuls and a softmax."""


class PlainTransformer(nn.Module):
    """A causal dense Transformer with RoPE, or with Transformer-XL positions and memory.

    Args:
        config: Architecture: dense attention and dense feed-forward without dropout.
        vocab_size: Number of tokens.
        core: How attention with RoPE is computed.
    """

    def __init__(self, config: ModelConfig, vocab_size: int, core: Core = "sdpa") -> None:
        super().__init__()
        self._memory_len = config.memory_len
        self.embedding = nn.Embedding(vocab_size, config.d_model)
        self.blocks = nn.ModuleList(PlainBlock(config, core) for _ in range(config.n_layers))
        self.final_norm = nn.LayerNorm(config.d_model)
        self.output = nn.Linear(config.d_model, vocab_size)
        self.memory: list[Tensor] = []

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return the logits, shape [B, T, V]; the chunk becomes the memory of the next one."""
        x_BTD = self.embedding(tokens_BT) * math.sqrt(self.embedding.embedding_dim)
        inputs = []
        for number, block in enumerate(self.blocks):
            inputs.append(x_BTD.detach()[:, -self._memory_len :])
            context = [*self.memory[number : number + 1], x_BTD]
            x_BTD = block(x_BTD, torch.cat(context, dim=1))
        self.memory = inputs if self._memory_len else []
        return cast(Tensor, self.output(self.final_norm(x_BTD)))


class PlainBlock(nn.Module):
    """Pre-LayerNorm block."""

    def __init__(self, config: ModelConfig, core: Core) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model)
        is_rope = isinstance(config.positions, RopePositions)
        self.attention = PlainRope(config, core) if is_rope else PlainRelative(config)
        self.feedforward_norm = nn.LayerNorm(config.d_model)
        self.feedforward = PlainFeedForward(config)

    def forward(self, x_BTD: Tensor, context_BSD: Tensor) -> Tensor:
        """Transform a chunk, attending to the memory before it."""
        x_BTD = x_BTD + self.attention(self.attention_norm(context_BSD), x_BTD.shape[1])
        return cast(Tensor, x_BTD + self.feedforward(self.feedforward_norm(x_BTD)))


class PlainFeedForward(nn.Module):
    """Linear, ReLU, linear."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        feedforward = cast(DenseFeedForward, config.feedforward)
        self.up = nn.Linear(config.d_model, feedforward.d_ff)
        self.down = nn.Linear(feedforward.d_ff, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each position."""
        return cast(Tensor, self.down(F.relu(self.up(x))))


class PlainAttention(nn.Module, ABC):
    """Projections of dense attention; subclasses compute its core."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads, self.d_head = config.attention.n_heads, config.attention.d_head
        width = self.n_heads * self.d_head
        self.query_weight, self.key_weight, self.value_weight = (
            nn.Parameter(torch.empty(width, config.d_model)) for _ in range(3)
        )
        self.output_weight = nn.Parameter(torch.empty(config.d_model, width))

    def forward(self, context_BSD: Tensor, n_queries: int) -> Tensor:
        """Attend from the last T positions to those up to each."""
        query = self._split(F.linear(context_BSD[:, -n_queries:], self.query_weight))
        key, value = (
            self._split(F.linear(context_BSD, weight))
            for weight in (self.key_weight, self.value_weight)
        )
        mixed_BTX = self.attend(query, key, value).transpose(1, 2).flatten(2)
        return F.linear(mixed_BTX, self.output_weight)

    @abstractmethod
    def attend(self, query_BHTP: Tensor, key_BHSP: Tensor, value_BHSP: Tensor) -> Tensor:
        """Return the mixed values, shape [B, H, T, P]."""

    def _split(self, x_BLX: Tensor) -> Tensor:
        return x_BLX.unflatten(-1, (self.n_heads, self.d_head)).transpose(1, 2)


class PlainRope(PlainAttention):
    """Attention with RoPE, without memory."""

    def __init__(self, config: ModelConfig, core: Core) -> None:
        super().__init__(config)
        positions = cast(RopePositions, config.positions)
        self.core = core
        self.n_rotated = 2 * int(self.d_head * positions.rotate_fraction / 2)
        channel = torch.arange(0, self.n_rotated, 2, dtype=torch.float32)
        wavelength = positions.base ** (-channel / max(self.n_rotated, 1))
        angle = torch.arange(config.seq_len, dtype=torch.float32)[:, None] * wavelength
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def attend(self, query_BHTP: Tensor, key_BHSP: Tensor, value_BHSP: Tensor) -> Tensor:
        """Return the mixed values, shape [B, H, T, P]."""
        query, key = self._rotate(query_BHTP), self._rotate(key_BHSP)
        if self.core == "sdpa":
            return F.scaled_dot_product_attention(query, key, value_BHSP, is_causal=True)
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.d_head)
        return scores.masked_fill(_is_future(scores), -torch.inf).softmax(dim=-1) @ value_BHSP

    def _rotate(self, x: Tensor) -> Tensor:
        n = self.n_rotated
        cos, sin = (cast(Tensor, table).to(x.dtype) for table in (self.cos, self.sin))
        left, right, rest = x.split([n // 2, n // 2, self.d_head - n], dim=-1)
        return torch.cat([left * cos - right * sin, right * cos + left * sin, rest], dim=-1)


class PlainRelative(PlainAttention):
    """Attention of Transformer-XL (arXiv:1901.02860), with its scores by distance shifted."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.positions = PlainDistances(config)

    def attend(self, query_BHTP: Tensor, key_BHSP: Tensor, value_BHSP: Tensor) -> Tensor:
        """Return the mixed values, shape [B, H, T, P]."""
        at = self.positions
        # A row per distance S - 1, ..., 0.
        position_key_HSP = at.project(key_BHSP.shape[2]).unflatten(-1, (self.n_heads, -1))
        position_key_HPS = position_key_HSP.permute(1, 2, 0).to(query_BHTP.dtype)
        by_content = (query_BHTP + at.content_bias[:, None]) @ key_BHSP.transpose(-2, -1)
        by_distance = (query_BHTP + at.position_bias[:, None]) @ position_key_HPS
        scores = (by_content + _shift(by_distance)) * at.score_scale
        return scores.masked_fill(_is_future(scores), -torch.inf).softmax(dim=-1) @ value_BHSP


class PlainDistances(nn.Module):
    """The projection of distances, and the learned terms of the dense baseline."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n_heads, d_head = config.attention.n_heads, config.attention.d_head
        self.weight = nn.Parameter(torch.empty(n_heads * d_head, config.d_model))
        self.content_bias = nn.Parameter(torch.empty(n_heads, d_head))
        self.position_bias = nn.Parameter(torch.empty(n_heads, d_head))
        self.score_scale = nn.Parameter(torch.empty(1))

    def project(self, n_keys: int) -> Tensor:
        """Return the keys of the distances from S - 1 down to 0, shape [S, H * P]."""
        D = self.weight.shape[1]
        distance = -torch.arange(n_keys - 1, -1, -1.0, device=self.weight.device)
        channel = torch.arange(0, D, 2, device=self.weight.device)
        angle = distance[:, None] * 10_000.0 ** (-channel / D)
        return F.linear(torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1), self.weight)


def _is_future(scores: Tensor) -> Tensor:
    T, S = scores.shape[-2:]
    return torch.ones(T, S, dtype=torch.bool, device=scores.device).triu_(S - T + 1)


def _shift(by_distance_BHTS: Tensor) -> Tensor:
    """Align scores by distance with keys: pad, reshape, and drop the first row."""
    B, H, T, S = by_distance_BHTS.shape
    padded = F.pad(by_distance_BHTS, (1, 0)).view(B, H, S + 1, T)
    return padded[:, :, 1:].view(B, H, T, S)
