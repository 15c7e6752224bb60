"""Language models exported by switchhead_lab, for Hugging Face transformers.

Needs only torch and transformers. Every layer is written as its definition in PyTorch operators:
experts are computed for all tokens and weighted by zero where they are not chosen, which gives the
same logits as the kernels of switchhead_lab, more slowly. Auxiliary losses are not computed.

Letters: B batch, T query positions, S key positions (memory + chunk), L either one, D d_model,
H heads, P d_head, E experts per head, F width of a feed-forward block, V vocabulary.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

_XL_BASE = 10_000.0


class SwitchHeadLabConfig(PreTrainedConfig):
    """Sizes and variants: the fields of `[model]` in config.toml, by the same names."""

    model_type = "switchhead_lab"
    attribute_map = {"hidden_size": "d_model", "num_hidden_layers": "n_layers"}

    vocab_size: int = 256
    d_model: int = 16
    n_layers: int = 1
    seq_len: int = 16
    context_multiple: int = 1
    positions: dict | None = None
    attention: dict | None = None
    feedforward: dict | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    use_cache: bool = False
    tie_word_embeddings: bool = False


class XLPositions(nn.Module):
    """Transformer-XL: `softmax(scale * ((q + u) . k_j + (q + v) . W_pos r(j - i)))`."""

    def __init__(self, d_model: int, n_heads: int, d_head: int, has_bias: bool) -> None:
        super().__init__()
        self.d_head, self.has_bias = d_head, has_bias
        self.weight = nn.Parameter(torch.empty(n_heads * d_head, d_model))
        if has_bias:
            self.content_bias = nn.Parameter(torch.empty(n_heads, d_head))
            self.position_bias = nn.Parameter(torch.empty(n_heads, d_head))
            self.score_scale = nn.Parameter(torch.empty(1))

    def attend(self, query_BHTP: Tensor, key_BHSP: Tensor, value_BHSP: Tensor) -> Tensor:
        """Attend from the last T of S positions."""
        T, S = query_BHTP.shape[-2], key_BHSP.shape[-2]
        by_content = by_position = query_BHTP
        scale: float | Tensor = 1.0 / math.sqrt(self.d_head)
        if self.has_bias:
            scale = self.score_scale
            by_content = query_BHTP + self.content_bias[:, None]
            by_position = query_BHTP + self.position_bias[:, None]
        position_key_HSP = (self._table(S) @ self.weight.T).unflatten(-1, (-1, self.d_head))
        position_key_HSP = position_key_HSP.transpose(0, 1)
        # Row c of the table is distance c - (S - 1); query i is at position S - T + i.
        distance_BHTS = by_position @ position_key_HSP.transpose(-2, -1)
        key_S, query_T1 = torch.arange(S), torch.arange(T)[:, None]
        row_TS = (key_S + T - 1 - query_T1).clamp(max=S - 1)  # future keys are masked later
        row_TS = row_TS.to(key_BHSP.device)
        position_BHTS = distance_BHTS.gather(-1, row_TS.expand_as(distance_BHTS))
        scores_BHTS = scale * (by_content @ key_BHSP.transpose(-2, -1) + position_BHTS)
        return _weigh(scores_BHTS, value_BHSP)

    def _table(self, n_keys: int) -> Tensor:
        """Return sines on even and cosines on odd channels of the distances, shape [S, D]."""
        weight, d_model = self.weight, self.weight.shape[1]
        distance = torch.arange(-(n_keys - 1), 1, dtype=torch.float32, device=weight.device)
        channel = torch.arange(0, d_model, 2, dtype=torch.float32, device=weight.device)
        angle = distance[:, None] * _XL_BASE ** (-channel / d_model)
        return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(weight.dtype)


class RotaryPositions(nn.Module):
    """RoPE: the first n channels of queries and keys rotated, in pairs of c and c + n / 2."""

    def __init__(self, base: float, rotate_fraction: float, d_head: int) -> None:
        super().__init__()
        self.base, self.n_rotated = base, 2 * int(d_head * rotate_fraction / 2)

    def attend(self, query_BHTP: Tensor, key_BHSP: Tensor, value_BHSP: Tensor) -> Tensor:
        """Attend from the last T of S positions."""
        T, S = query_BHTP.shape[-2], key_BHSP.shape[-2]
        query_BHTP = self._rotate(query_BHTP, S - T) / math.sqrt(query_BHTP.shape[-1])
        return _weigh(query_BHTP @ self._rotate(key_BHSP, 0).transpose(-2, -1), value_BHSP)

    def _rotate(self, x_BHLP: Tensor, first: int) -> Tensor:
        n, n_positions = self.n_rotated, x_BHLP.shape[-2]
        options: dict[str, Any] = {"dtype": torch.float32, "device": x_BHLP.device}
        position = torch.arange(first, first + n_positions, **options)
        angle = position[:, None] * self.base ** (-torch.arange(0, n, 2, **options) / max(n, 1))
        cos, sin = angle.cos().to(x_BHLP.dtype), angle.sin().to(x_BHLP.dtype)
        left, right, rest = x_BHLP.split([n // 2, n // 2, x_BHLP.shape[-1] - n], dim=-1)
        return torch.cat([left * cos - right * sin, right * cos + left * sin, rest], dim=-1)


def _weigh(scores_BHTS: Tensor, value_BHSP: Tensor) -> Tensor:
    """Return the values weighted by the softmax of the scores of past and present keys."""
    T, S = scores_BHTS.shape[-2:]
    is_future_TS = torch.ones(T, S, dtype=torch.bool, device=scores_BHTS.device).triu(S - T + 1)
    return scores_BHTS.masked_fill(is_future_TS, float("-inf")).softmax(dim=-1) @ value_BHSP


def _build_positions(config: SwitchHeadLabConfig, n_heads: int, d_head: int, has_bias: bool) -> Any:
    fields = dict(config.positions or {})
    if fields["kind"] == "transformer_xl":
        return XLPositions(config.d_model, n_heads, d_head, has_bias)
    return RotaryPositions(fields["base"], fields["rotate_fraction"], d_head)


def _split_heads(x_BLX: Tensor, d_head: int) -> Tensor:
    return x_BLX.unflatten(-1, (-1, d_head)).transpose(1, 2)


def _merge_heads(x_BHTP: Tensor) -> Tensor:
    return x_BHTP.transpose(1, 2).flatten(2)


class Router(nn.Module):
    """Top-k router over the experts of each head; ties go to the lower index."""

    def __init__(
        self, d_model: int, n_heads: int, n_experts: int, top_k: int, gate: str, p_dropout: float
    ) -> None:
        super().__init__()
        self.n_experts, self.top_k, self.gate, self.p_dropout = n_experts, top_k, gate, p_dropout
        self.weight = nn.Parameter(torch.empty(n_heads * n_experts, d_model))

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Return the weight of every expert, zero if it is not chosen, [B, L, H, E]."""
        logits = F.linear(x_BLD, self.weight).unflatten(-1, (-1, self.n_experts))
        if self.training and self.p_dropout > 0.0:
            is_dropped = torch.rand_like(logits) < self.p_dropout
            logits = logits.masked_fill(is_dropped, float("-inf"))
        index = logits.sort(dim=-1, descending=True, stable=True).indices[..., : self.top_k]
        chosen = logits.gather(-1, index)
        # All experts dropped would give 0 / 0; such a token has weights of zero.
        softmax = chosen.softmax(dim=-1).nan_to_num(0.0)
        weight = chosen.sigmoid() if self.gate == "sigmoid" else softmax
        return torch.zeros_like(logits).scatter(-1, index, weight)


class DenseAttention(nn.Module):
    """Multi-head attention; with fewer key heads than query heads, grouped-query attention."""

    def __init__(self, config: SwitchHeadLabConfig) -> None:
        super().__init__()
        fields = dict(config.attention or {})
        D, H, self.d_head = config.d_model, fields["n_heads"], fields["d_head"]
        n_key_heads = fields.get("n_kv_heads", H)
        self.n_sharing = H // n_key_heads
        self.query_weight = nn.Parameter(torch.empty(H * self.d_head, D))
        self.key_weight = nn.Parameter(torch.empty(n_key_heads * self.d_head, D))
        self.value_weight = nn.Parameter(torch.empty(n_key_heads * self.d_head, D))
        self.output_weight = nn.Parameter(torch.empty(D, H * self.d_head))
        self.positions = _build_positions(config, H, self.d_head, has_bias=True)

    def forward(self, context_BSD: Tensor, n_queries: int) -> Tensor:
        """Attend from the last T positions."""
        query_BHTP = _split_heads(
            F.linear(context_BSD[:, -n_queries:], self.query_weight), self.d_head
        )
        key_BHSP, value_BHSP = (
            _split_heads(F.linear(context_BSD, weight), self.d_head).repeat_interleave(
                self.n_sharing, dim=1
            )
            for weight in (self.key_weight, self.value_weight)
        )
        mixed_BHTP = self.positions.attend(query_BHTP, key_BHSP, value_BHSP)
        return F.linear(_merge_heads(mixed_BHTP), self.output_weight)


class SwitchHeadAttention(nn.Module):
    """SwitchHead: projections with experts, one attention map per head (arXiv:2312.07987)."""

    def __init__(self, config: SwitchHeadLabConfig) -> None:
        super().__init__()
        fields = dict(config.attention or {})
        D, H, E = config.d_model, fields["n_heads"], fields["n_experts"]
        self.d_head = P = fields["d_head"]
        self.expert_projections = experts = set(fields["expert_projections"])

        def projection(name: str) -> nn.Parameter:
            if name in experts:
                return nn.Parameter(torch.empty((H, E, P, D) if name == "o" else (H, E, D, P)))
            return nn.Parameter(torch.empty((D, H * P) if name == "o" else (H * P, D)))

        def router() -> Router:
            return Router(D, H, E, fields["top_k"], fields["gate"], fields["p_expert_dropout"])

        self.query_weight, self.key_weight = projection("q"), projection("k")
        self.value_weight, self.output_weight = projection("v"), projection("o")
        self.positions = _build_positions(config, H, P, has_bias=False)
        self.value_router = router() if experts & {"v", "k"} else None
        has_own = experts & {"q", "o"} and not fields["shared_selection"]
        self.output_router = router() if has_own else None

    def forward(self, context_BSD: Tensor, n_queries: int) -> Tensor:
        """Attend from the last T positions."""
        chunk_BTD = context_BSD[:, -n_queries:]
        source: Any = None
        destination: Any = None
        if self.value_router is not None:
            source = self.value_router(context_BSD)
            destination = source[:, -n_queries:]
        if self.output_router is not None:
            destination = self.output_router(chunk_BTD)
        mixed_BHTP = self.positions.attend(
            self._to_heads("q", self.query_weight, chunk_BTD, destination),
            self._to_heads("k", self.key_weight, context_BSD, source),
            self._to_heads("v", self.value_weight, context_BSD, source),
        )
        if "o" not in self.expert_projections:
            return F.linear(_merge_heads(mixed_BHTP), self.output_weight)
        products = [
            torch.einsum("bhtp,bth,hpd->btd", mixed_BHTP, destination[..., e], weight_HPD)
            for e, weight_HPD in enumerate(self.output_weight.unbind(1))
        ]
        return torch.stack(products).sum(0)

    def _to_heads(self, name: str, weight: Tensor, x_BLD: Tensor, gate: Any) -> Tensor:
        """Project to the heads, with experts if the projection has them."""
        if name not in self.expert_projections:
            return _split_heads(F.linear(x_BLD, weight), self.d_head)
        products = [
            torch.einsum("bld,hdp->bhlp", x_BLD, weight_HDP)
            * gate[..., e].transpose(1, 2)[..., None]
            for e, weight_HDP in enumerate(weight.unbind(1))
        ]
        return torch.stack(products).sum(0)


class MoaAttention(nn.Module):
    """MoA: tokens pick heads, which share key and value projections (arXiv:2210.05144)."""

    def __init__(self, config: SwitchHeadLabConfig) -> None:
        super().__init__()
        fields = dict(config.attention or {})
        D, E, P = config.d_model, fields["n_experts"], fields["d_head"]
        self.query_weight = nn.Parameter(torch.empty(1, E, D, P))
        self.key_weight = nn.Parameter(torch.empty(P, D))
        self.value_weight = nn.Parameter(torch.empty(P, D))
        self.output_weight = nn.Parameter(torch.empty(1, E, P, D))
        self.positions = _build_positions(config, 1, P, has_bias=False)
        self.router = Router(D, 1, E, fields["n_heads"], fields["gate"], 0.0)

    def forward(self, context_BSD: Tensor, n_queries: int) -> Tensor:
        """Attend from the last T positions, by every head; heads not picked have weight zero."""
        chunk_BTD = context_BSD[:, -n_queries:]
        mixed_BETP = self.positions.attend(
            torch.einsum("btd,edp->betp", chunk_BTD, self.query_weight[0]),
            F.linear(context_BSD, self.key_weight)[:, None],
            F.linear(context_BSD, self.value_weight)[:, None],
        )
        gate_BTE = self.router(chunk_BTD)[:, :, 0]
        return torch.einsum("betp,bte,epd->btd", mixed_BETP, gate_BTE, self.output_weight[0])


class DenseFeedForward(nn.Module):
    """`y = dropout(ReLU(x W_1 + b_1)) W_2 + b_2`."""

    def __init__(self, config: SwitchHeadLabConfig) -> None:
        super().__init__()
        fields = dict(config.feedforward or {})
        self.up = nn.Linear(config.d_model, fields["d_ff"])
        self.down = nn.Linear(fields["d_ff"], config.d_model)
        self.p_dropout = fields["p_dropout"]

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Transform each position."""
        return self.down(F.dropout(F.relu(self.up(x_BTD)), self.p_dropout, self.training))


class SigmaMoe(nn.Module):
    """sigma-MoE: `y = sum over the K chosen e of sigmoid(x w_e) ReLU(x W1_e) W2_e`."""

    def __init__(self, config: SwitchHeadLabConfig) -> None:
        super().__init__()
        fields = dict(config.feedforward or {})
        D, E, width = config.d_model, fields["n_experts"], fields["d_expert"]
        self.up_weight = nn.Parameter(torch.empty(1, E, D, width))
        self.down_weight = nn.Parameter(torch.empty(1, E, width, D))
        self.router = Router(D, 1, E, fields["top_k"], "sigmoid", fields["p_expert_dropout"])

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Transform each position."""
        gate_BTE = self.router(x_BTD)[:, :, 0]
        experts = zip(self.up_weight[0], self.down_weight[0], strict=True)
        products = [F.relu(x_BTD @ up_DF) @ down_FD for up_DF, down_FD in experts]
        return (gate_BTE[:, :, None] @ torch.stack(products, dim=2)).squeeze(2)


_ATTENTION = {
    "dense": DenseAttention,
    "grouped_query": DenseAttention,
    "switchhead": SwitchHeadAttention,
    "moa": MoaAttention,
}
_FEEDFORWARD = {"dense": DenseFeedForward, "sigma_moe": SigmaMoe}


class Block(nn.Module):
    """Pre-LayerNorm block; attention sees the memory before the chunk."""

    def __init__(self, config: SwitchHeadLabConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model)
        self.attention = _ATTENTION[(config.attention or {})["kind"]](config)
        self.feedforward_norm = nn.LayerNorm(config.d_model)
        self.feedforward = _FEEDFORWARD[(config.feedforward or {})["kind"]](config)

    def forward(self, x_BTD: Tensor, memory_BMD: Tensor) -> Tensor:
        """Transform a chunk."""
        context_BSD = self.attention_norm(torch.cat([memory_BMD, x_BTD], dim=1))
        x_BTD = x_BTD + self.attention(context_BSD, x_BTD.shape[1])
        return x_BTD + self.feedforward(self.feedforward_norm(x_BTD))


class SwitchHeadLabForCausalLM(PreTrainedModel, GenerationMixin):
    """A language model; weights always come from an export.

    A text is read from its first token on in chunks of `seq_len`, as in the validation of
    switchhead_lab: with memory, each chunk sees the chunks before it; without, only itself.
    """

    config_class = SwitchHeadLabConfig
    _no_split_modules = ["Block"]
    _input_embed_layer = "embedding"

    def __init__(self, config: SwitchHeadLabConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.final_norm = nn.LayerNorm(config.d_model)
        self.output = nn.Linear(config.d_model, config.vocab_size)
        self.memory_len = (config.context_multiple - 1) * config.seq_len
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """Return the output layer."""
        return self.output

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **_ignored: Any,
    ) -> CausalLMOutput:
        """Predict at every position of a text of any length.

        Args:
            input_ids: Shape [B, T].
            attention_mask: 0 for padding, which may follow a text but not precede it.
            labels: Targets, shape [B, T], shifted here; -100 is ignored. Gives the mean loss.
        """
        if attention_mask is not None and bool((attention_mask.diff(dim=1) > 0).any()):
            raise ValueError(
                "attention_mask has padding before a text, which would shift its chunks; "
                'use tokenizer.padding_side = "right", or texts of equal length'
            )
        empty = self.embedding.weight.new_zeros(input_ids.shape[0], 0, self.config.d_model)
        memory, logits = [empty] * len(self.blocks), []
        for chunk_BT in input_ids.split(self.config.seq_len, dim=1):
            x_BTD = self.embedding(chunk_BT) * math.sqrt(self.config.d_model)
            for number, block in enumerate(self.blocks):
                past_BMD = memory[number]
                if self.memory_len:
                    kept = torch.cat([past_BMD, x_BTD.detach()], dim=1)
                    memory[number] = kept[:, -self.memory_len :]
                x_BTD = block(x_BTD, past_BMD)
            logits.append(self.output(self.final_norm(x_BTD)))
        logits_BTV = torch.cat(logits, dim=1)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits_BTV)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_ignored: Any
    ) -> dict[str, Any]:
        """Return the inputs that predict the next token; without memory, the last `seq_len`."""
        if not self.memory_len:
            input_ids = input_ids[:, -self.config.seq_len :]
            if attention_mask is not None:
                attention_mask = attention_mask[:, -self.config.seq_len :]
        return {"input_ids": input_ids, "attention_mask": attention_mask}
