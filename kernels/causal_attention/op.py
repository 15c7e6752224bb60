"""Causal attention by matmuls, and its gradient.

Queries are processed in blocks, each with the keys up to its last query: half of the scores are in
the future and are not computed. PyTorch's fused attention recomputes the weights in its gradient;
with AVX-512, saving them takes less time.

Letters: B batch, T query positions, S key positions, H heads, P d_head, X heads and sequences
together (H * B).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from switchhead_kernels.causal_attention.fused import causal_softmax_, causal_softmax_gradient_

_MOST_BLOCKS, _SMALLEST_BLOCK = 4, 64
# Asked once: torch.compile cannot trace the question.
_HAS_AVX512 = "AVX512" in torch.backends.cpu.get_cpu_capability()


def matmuls_are_faster(device: torch.device) -> bool:
    """Return whether attention by matmuls is faster than PyTorch's fused attention on a device.

    Measured forward and backward with 128 to 1,024 keys, the fused attention takes 1.0 to 2.8 times
    as long on a CPU with AVX-512, and 0.6 to 1.0 times as long on one with AVX2 only.
    """
    return device.type == "cpu" and _HAS_AVX512


def attend_causal(
    query_HBTP: Tensor, key_HBSP: Tensor, value_HBSP: Tensor, scale: float = 1.0
) -> Tensor:
    """Attend from the last T of S positions to the positions up to each.

    Saves the attention weights for the backward pass: at most H * B * T * S values.

    Args:
        query_HBTP: Shape [H, B, T, P].
        key_HBSP: Shape [H, B, S, P], S >= T, same dtype.
        value_HBSP: Shape [H, B, S, P], same dtype.
        scale: Factor of the scores.

    Returns:
        Shape [H, B, T, P].
    """
    out: Tensor = _CausalAttention.apply(query_HBTP, key_HBSP, value_HBSP, scale)
    return out


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        H, B, T, P = query.shape
        S = key.shape[2]
        query_XTP = query.reshape(H * B, T, P)
        key_XSP, value_XSP = key.reshape(H * B, S, P), value.reshape(H * B, S, P)
        out_XTP = torch.empty_like(query_XTP)
        weights = []
        for start, stop, n_keys in _blocks(T, S):
            scores = torch.bmm(query_XTP[:, start:stop], key_XSP[:, :n_keys].transpose(1, 2))
            weight = causal_softmax_(scores, scale)
            torch.bmm(weight, value_XSP[:, :n_keys], out=out_XTP[:, start:stop])
            weights.append(weight)
        ctx.save_for_backward(query_XTP, key_XSP, value_XSP, *weights)
        ctx.n_sequences, ctx.scale = B, scale
        return out_XTP.view(H, B, T, P)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        query_XTP, key_XSP, value_XSP, *weights = ctx.saved_tensors
        (X, T, P), S = query_XTP.shape, key_XSP.shape[1]
        grad_XTP = grad_out.reshape(X, T, P)
        grad_query_XTP = torch.empty_like(query_XTP)
        # The last block has all keys, so it writes what the others add to.
        grad_key_XSP, grad_value_XSP = (key_XSP.new_empty(X, S, P) for _ in range(2))
        for number, (start, stop, n_keys) in reversed([*enumerate(_blocks(T, S))]):
            weight, grad = weights[number], grad_XTP[:, start:stop]
            beta = 0 if n_keys == S else 1
            grad_value_XSP[:, :n_keys].baddbmm_(weight.transpose(1, 2), grad, beta=beta)
            grad_weight = torch.bmm(grad, value_XSP[:, :n_keys].transpose(1, 2))
            grad_scores = causal_softmax_gradient_(grad_weight, weight, ctx.scale)
            torch.bmm(grad_scores, key_XSP[:, :n_keys], out=grad_query_XTP[:, start:stop])
            query = query_XTP[:, start:stop]
            grad_key_XSP[:, :n_keys].baddbmm_(grad_scores.transpose(1, 2), query, beta=beta)
        grads = (grad_query_XTP, grad_key_XSP, grad_value_XSP)
        return *(grad.view(-1, ctx.n_sequences, *grad.shape[1:]) for grad in grads), None


def _blocks(n_queries: int, n_keys: int) -> Iterator[tuple[int, int, int]]:
    """Yield first query, end of queries, and number of keys of each block."""
    width = max(_SMALLEST_BLOCK, -(-n_queries // _MOST_BLOCKS))
    for start in range(0, n_queries, width):
        stop = min(start + width, n_queries)
        yield start, stop, n_keys - n_queries + stop
