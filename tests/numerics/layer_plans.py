"""Sequence plans for tests of single layers."""

import torch

from switchhead_lab.config.architecture import AttentionConfig, ModelConfig
from switchhead_lab.model.sequence_plan import SequencePlan, plan_sequences
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.positions import PositionsConfig, TransformerXLPositions


def plan_of(
    n_queries: int,
    n_keys: int,
    d_model: int,
    attention: AttentionConfig | None = None,
    positions: PositionsConfig | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    direction: str = "causal",
    is_token_BT: torch.Tensor | None = None,
) -> SequencePlan:
    model = ModelConfig(
        d_model=d_model,
        n_layers=1,
        seq_len=n_queries,
        context_multiple=1,
        direction=direction,
        positions=positions or TransformerXLPositions(),
        attention=attention or DenseAttention(n_heads=1, d_head=2),
        feedforward=DenseFeedForward(d_ff=1),
    )
    return plan_sequences(
        model,
        n_queries,
        n_keys,
        dtype=dtype,
        device=torch.device("cpu"),
        is_token_BT=is_token_BT,
    )
