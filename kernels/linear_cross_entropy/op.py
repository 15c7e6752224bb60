"""Output layer and cross-entropy in one, a piece of the tokens at a time.

The logits of a batch are its largest tensor by far where vocabularies are large: here only those of
a piece exist, and their gradient is taken while they are at hand.

Letters: N tokens, D d_model, V vocab_size.
"""

from typing import Any

import torch
from torch import Tensor

from switchhead_kernels.autocast import in_compute_dtype, without_autocast
from switchhead_kernels.linear_cross_entropy.fused import cross_entropy_

# Logits of a piece: on a CPU few enough to stay near its caches; a GPU wants larger matmuls.
_PIECE_LOGITS = {"cpu": 2**20, "cuda": 2**26}
_PIECE_LOGITS_ELSEWHERE = 2**24
# Adding up the weight's gradient costs the same for every piece, so pieces have many rows.
_FEWEST_ROWS = 1024


def linear_cross_entropy(
    hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor, target_N: Tensor, ignore: int
) -> Tensor:
    """Return the negative log-likelihood of the targets, summed, in nats.

    Matmuls use the dtype that autocast would choose, losses in float32 or finer.

    Args:
        hidden_ND: Shape [N, D], what the output layer reads.
        weight_VD: Shape [V, D].
        bias_V: Shape [V].
        target_N: Shape [N], int64 in [0, V), or `ignore` where nothing is predicted.
        ignore: Target that is not scored.

    Returns:
        Scalar, float32 or finer. Its gradient is taken once; there is no second one.
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
        n_rows = _rows_of_a_piece(hidden, len(weight))
        with without_autocast(hidden):
            for start in range(0, len(hidden), n_rows):
                piece = slice(start, start + n_rows)
                # The bias is added on the way: a matmul would first copy it to every row.
                logits = torch.mm(hidden[piece], weight.T)
                loss += cross_entropy_(logits, target_N[piece], ignore, bias, grad_bias)
                if needs_gradient:
                    torch.mm(logits, weight, out=grad_hidden[piece])
                    of_piece = logits.T @ hidden[piece]
                    grad_weight = (
                        of_piece.to(fine) if grad_weight is None else grad_weight.add_(of_piece)
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


def _rows_of_a_piece(hidden: Tensor, vocab_size: int) -> int:
    n_logits = _PIECE_LOGITS.get(hidden.device.type, _PIECE_LOGITS_ELSEWHERE)
    return max(_FEWEST_ROWS, n_logits // vocab_size)
