"""Fused output layer and cross-entropy, computed in chunks of tokens.

With a large vocabulary, logits are by far the largest tensor of a batch. Here only one chunk of
them exists at a time, and its gradient is computed at once.

Letters: N tokens, D d_model, V vocab_size.
"""

from typing import Any

import torch
from torch import Tensor

from switchhead_kernels.autocast import in_compute_dtype, without_autocast
from switchhead_kernels.linear_cross_entropy.fused import cross_entropy_

# Logits of a chunk: on a CPU few enough to fit the caches; a GPU needs larger matmuls.
_CHUNK_LOGITS = {"cpu": 2**20, "cuda": 2**26}
_CHUNK_LOGITS_ELSEWHERE = 2**24
# Accumulating the weight's gradient costs the same for every chunk, so chunks have many rows.
_FEWEST_ROWS = 1024


def linear_cross_entropy(
    hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor, target_N: Tensor, ignore: int
) -> Tensor:
    """Return the summed negative log-likelihood of the targets, in nats.

    Matmuls use the dtype that autocast would choose, losses in float32 or finer.

    Args:
        hidden_ND: Shape [N, D], the output layer's input.
        weight_VD: Shape [V, D].
        bias_V: Shape [V].
        target_N: Shape [N], int64 in [0, V), or `ignore` for rows that are not scored.
        ignore: Target of rows that are not scored.

    Returns:
        Scalar, float32 or finer. Differentiable once.
    """
    loss: Tensor = _LinearCrossEntropy.apply(hidden_ND, weight_VD, bias_V, target_N, ignore)
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor,
        target_N: Tensor,
        ignore: int,
    ) -> Tensor:
        needs_gradient = any(ctx.needs_input_grad)
        fine = torch.promote_types(weight_VD.dtype, torch.float32)
        hidden, weight = in_compute_dtype(hidden_ND), in_compute_dtype(weight_VD)
        bias = bias_V.to(fine)
        loss = hidden.new_zeros((), dtype=fine)
        grad_hidden = torch.empty_like(hidden)
        grad_weight: Tensor | None = None
        grad_bias = torch.zeros_like(bias_V, dtype=fine) if needs_gradient else None
        n_rows = _rows_per_chunk(hidden, len(weight))
        with without_autocast(hidden):
            for start in range(0, len(hidden), n_rows):
                chunk = slice(start, start + n_rows)
                # The fused pass adds the bias, which a matmul would first copy to every row.
                logits = torch.mm(hidden[chunk], weight.T)
                loss += cross_entropy_(logits, target_N[chunk], ignore, bias, grad_bias)
                if needs_gradient:
                    torch.mm(logits, weight, out=grad_hidden[chunk])
                    of_chunk = logits.T @ hidden[chunk]
                    grad_weight = (
                        of_chunk.to(fine) if grad_weight is None else grad_weight.add_(of_chunk)
                    )
        if needs_gradient:
            ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.dtypes = [x.dtype for x in (hidden_ND, weight_VD, bias_V)]
        return loss

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        grads = (
            (grad * grad_loss.to(grad.dtype)).to(dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return (*grads, None, None)


def _rows_per_chunk(hidden: Tensor, vocab_size: int) -> int:
    n_logits = _CHUNK_LOGITS.get(hidden.device.type, _CHUNK_LOGITS_ELSEWHERE)
    return max(_FEWEST_ROWS, n_logits // vocab_size)
