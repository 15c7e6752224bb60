"""Models of Hugging Face transformers with the shapes of a configuration (an optional package).

Letters: B batch, T positions, D d_model.
"""

from importlib.util import find_spec
from typing import Any, cast

from torch import Tensor, nn

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.model.sequence_plan import n_rotated_channels
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.positions import RopePositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward

# Mixtral's experts have three matrices where those of sigma-MoE have two.
_MATRICES_OURS, _MATRICES_THEIRS = 2, 3
_WIDTH_MULTIPLE = 8


def is_installed() -> bool:
    """Return whether transformers can be imported."""
    return find_spec("transformers") is not None


class LogitsOnly(nn.Module):
    """A Hugging Face language model that returns logits, without a cache.

    Args:
        model: The model.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return the logits, shape [B, T, V]."""
        return cast(Tensor, self.model(input_ids=tokens_BT, use_cache=False).logits)


def gpt2(config: ModelConfig, vocab_size: int, attention: str) -> nn.Module:
    """Return GPT-2: learned absolute positions instead of RoPE, which cost less.

    Args:
        config: Architecture, with d_model = n_heads * d_head.
        vocab_size: Number of tokens.
        attention: "sdpa" or "eager".
    """
    from transformers import AutoModelForCausalLM, GPT2Config

    sizes = GPT2Config(
        vocab_size=vocab_size,
        n_positions=config.seq_len,
        n_embd=config.d_model,
        n_layer=config.n_layers,
        n_head=config.attention.n_heads,
        n_inner=cast(DenseFeedForward, config.feedforward).d_ff,
        activation_function="relu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=False,
    )
    return _built(AutoModelForCausalLM, sizes, attention)


def gpt_neox(config: ModelConfig, vocab_size: int, attention: str) -> nn.Module:
    """Return GPT-NeoX with as many rotated channels as the configuration.

    Args:
        config: Architecture with RoPE, and d_model = n_heads * d_head.
        vocab_size: Number of tokens.
        attention: "sdpa" or "eager".
    """
    from transformers import AutoModelForCausalLM, GPTNeoXConfig

    positions, d_head = cast(RopePositions, config.positions), config.attention.d_head
    sizes = GPTNeoXConfig(
        vocab_size=vocab_size,
        max_position_embeddings=config.seq_len,
        hidden_size=config.d_model,
        num_hidden_layers=config.n_layers,
        num_attention_heads=config.attention.n_heads,
        intermediate_size=cast(DenseFeedForward, config.feedforward).d_ff,
        hidden_act="relu",
        rope_parameters={
            "rope_type": "default",
            "rope_theta": positions.base,
            # They round d_head * fraction down.
            "partial_rotary_factor": (n_rotated_channels(positions, d_head) + 0.5) / d_head,
        },
        use_parallel_residual=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        tie_word_embeddings=False,
    )
    return _built(AutoModelForCausalLM, sizes, attention)


def mixtral_experts(config: ModelConfig, implementation: str) -> nn.Module:
    """Return Mixtral's sparse feed-forward: as many experts, and about as many MACs.

    Their experts have three matrices of the width w, ours two of the width d_expert, so
    w = 2/3 * d_expert, rounded to a multiple of 8, which their grouped matmul needs.

    Args:
        config: Architecture with a sigma-MoE feed-forward.
        implementation: "eager", a loop over experts, or "grouped_mm".
    """
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    experts = cast(SigmaMoeFeedForward, config.feedforward)
    width = experts.d_expert * _MATRICES_OURS / _MATRICES_THEIRS
    sizes = MixtralConfig(
        hidden_size=config.d_model,
        intermediate_size=_WIDTH_MULTIPLE * max(1, round(width / _WIDTH_MULTIPLE)),
        num_local_experts=experts.n_experts,
        num_experts_per_tok=experts.top_k,
        hidden_act="silu",
        router_jitter_noise=0.0,
    )
    sizes._experts_implementation = implementation
    block = MixtralSparseMoeBlock(sizes)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=config.d_model**-0.5)
    return block


def _built(factory: Any, sizes: Any, attention: str) -> nn.Module:
    return LogitsOnly(factory.from_config(sizes, attn_implementation=attention))
