"""The definition of the cross-entropy and its gradient, in PyTorch operators."""

import torch
from torch import Tensor


def cross_entropy_(
    logits_NV: Tensor,
    target_N: Tensor,
    ignore: int,
    bias_V: Tensor | None = None,
    column_sums_V: Tensor | None = None,
) -> Tensor:
    """Return the summed negative log-likelihood of the targets; see `fused.cross_entropy_`."""
    fine = torch.promote_types(logits_NV.dtype, torch.float32)
    logits = logits_NV.to(fine)
    log_p = (logits if bias_V is None else logits + bias_V).log_softmax(dim=-1)
    is_scored = (target_N != ignore)[:, None]
    target = target_N[:, None].where(is_scored, 0)
    loss = -(log_p.gather(1, target) * is_scored).sum()
    if column_sums_V is not None:
        gradient = log_p.exp_()
        gradient.scatter_add_(1, target, torch.full_like(gradient[:, :1], -1.0))
        gradient *= is_scored
        column_sums_V += gradient.sum(dim=0)
        logits_NV.copy_(gradient)
    return loss
