"""The input of an attention layer: memory and chunk, and the chunk alone, exact and rounded.

One operator makes all four, so that one pass adds up their gradients. Separately, each gradient of
the chunk would first be zero-padded over the memory.

Letters: B sequences, S positions of memory and chunk, T those of the chunk, D d_model.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from switchhead_kernels.attention_input.fused import add_by_position
from switchhead_kernels.autocast import compute_dtype


class AttentionInput(NamedTuple):
    """The normalised input of an attention layer.

    Attributes:
        exact_context_BSD: Memory and chunk as given; read by routers.
        exact_chunk_BTD: Its last T positions.
        context_BSD: Memory and chunk in the dtype of matmuls.
        chunk_BTD: Its last T positions.
    """

    exact_context_BSD: Tensor
    exact_chunk_BTD: Tensor
    context_BSD: Tensor
    chunk_BTD: Tensor


def attention_input(context_BSD: Tensor, n_queries: int) -> AttentionInput:
    """Return a layer's input, exact and rounded.

    Args:
        context_BSD: Normalised memory and chunk, shape [B, S, D].
        n_queries: Positions T of the chunk, the last of the context.
    """
    return AttentionInput(*_Forms.apply(context_BSD, n_queries, compute_dtype(context_BSD)))


class _Forms(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, context_BSD: Tensor, n_queries: int, dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.shape = context_BSD.shape
        forms = (context_BSD.view_as(context_BSD), context_BSD.to(dtype))
        exact, rounded = ((form, form[:, -n_queries:]) for form in forms)
        return *exact, *rounded

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        return add_by_position(grads[:2], grads[2:], ctx.shape), None, None
