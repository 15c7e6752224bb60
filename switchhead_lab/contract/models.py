"""Small models around the examples of a variant, and their inputs.

Letters: B batch, T chunk positions, V vocabulary.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.model.transformer import ModelOutput, Transformer, build_model
from switchhead_lab.variants.base import Variant
from switchhead_lab.variants.contract import D_MODEL, SEQ_LEN
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.positions import Positions

VariantT = TypeVar("VariantT", bound=Variant)
V, B, T, N_LAYERS = 19, 3, SEQ_LEN, 2
LENGTHS = (T, 4, 6)


def model_around(variant: Variant, positions: Positions, **sizes: Any) -> ModelConfig:
    """Return a small model with a variant in it; its other block is dense.

    Args:
        variant: Attention or feed-forward variant.
        positions: Position encoding.
        sizes: Fields of the model to override.
    """
    frame = ModelConfig(
        **{
            "d_model": D_MODEL,
            "n_layers": N_LAYERS,
            "seq_len": T,
            "context_multiple": 2,
            "positions": positions,
            "attention": DenseAttention(n_heads=4, d_head=3),
            "feedforward": DenseFeedForward(d_ff=17),
            **sizes,
        }
    )
    return frame.model_copy(update={variant.block: variant})


def dropout_fields(variant: Variant) -> list[str]:
    """Return the names of the fields that are probabilities of dropout."""
    names = type(variant).model_fields
    return [name for name in names if name.startswith("p_") and name.endswith("dropout")]


def with_dropout(variant: VariantT, p_dropout: float) -> VariantT:
    """Return a variant with all its dropout probabilities set to one value."""
    return variant.model_copy(update=dict.fromkeys(dropout_fields(variant), p_dropout))


def build_layer(variant: Variant, positions: Positions) -> Any:
    """Build only the module of a variant, uninitialised."""
    if variant.block == "attention":
        return variant.build(positions, D_MODEL)
    return variant.build(D_MODEL)


def bidirectional_model(variant: Variant, positions: Positions) -> Transformer:
    """Build a model without causal mask and memory, in float64."""
    config = model_around(variant, positions, context_multiple=1, direction="bidirectional")
    return build_model(config, V, 0).double()


def random_tokens(seed: int = 0, length: int = T) -> Tensor:
    """Return random tokens without the padding token 0, shape [B, length]."""
    return torch.randint(1, V, (B, length), generator=torch.Generator().manual_seed(seed))


def padded_tokens() -> Tensor:
    """Return sequences of different lengths, padded with token 0."""
    tokens_BT = random_tokens()
    for row, length in zip(tokens_BT, LENGTHS, strict=True):
        row[length:] = 0
    return tokens_BT


def loss_of(output: ModelOutput) -> Tensor:
    """Return a scalar that depends on every prediction and auxiliary loss."""
    loss = output.logits_BTV.square().sum()
    return loss if output.auxiliary_loss is None else loss + output.auxiliary_loss
