import pytest
import torch

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.model.transformer import Memory, build_model
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward

D, T, V = 8, 4, 11


@pytest.mark.parametrize("context_multiple", [2, 3])
@pytest.mark.parametrize("lengths", [(T, T, T, T), (T, 3, 2, T, 1)])
def test_memory_holds_the_newest_positions(context_multiple: int, lengths: tuple[int, ...]) -> None:
    """The first layer's memory is the embedding of the latest tokens, oldest first."""
    config = ModelConfig(
        d_model=D,
        n_layers=1,
        seq_len=T,
        context_multiple=context_multiple,
        attention=DenseAttention(n_heads=2, d_head=4),
        feedforward=DenseFeedForward(d_ff=16),
    )
    model, memory = build_model(config, V, 0), Memory()
    generator = torch.Generator().manual_seed(0)
    read = torch.empty(2, 0, dtype=torch.int64)
    for length in lengths:
        tokens = torch.randint(V, (2, length), generator=generator)
        memory = model(tokens, memory).memory
        read = torch.cat([read, tokens], dim=1)
        latest = model.embedding(read[:, -model.memory_len :]) * model.embedding_scale
        assert torch.equal(memory[0], latest)
