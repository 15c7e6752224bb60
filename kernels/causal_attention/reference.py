"""The definition of causal attention and of its softmax, in PyTorch operators.

Letters: X attention maps (heads and sequences), T query positions, S key positions, P d_head.
"""

import torch
from torch import Tensor


def attend(query_XTP: Tensor, key_XSP: Tensor, value_XSP: Tensor, scale: float = 1.0) -> Tensor:
    """Attend from the last T of S positions to the positions up to each.

    Returns:
        Shape [X, T, P].
    """
    T, S = query_XTP.shape[1], key_XSP.shape[1]
    scores_XTS = query_XTP @ key_XSP.transpose(1, 2) * scale
    is_future_TS = torch.ones(T, S, dtype=torch.bool, device=scores_XTS.device).triu(S - T + 1)
    return scores_XTS.masked_fill(is_future_TS, -torch.inf).softmax(dim=-1) @ value_XSP


def causal_softmax_(scores_XTS: Tensor, scale: float) -> Tensor:
    """Return the weights of the keys up to each query; overwrites the scores."""
    T = scores_XTS.shape[1]
    is_future = torch.ones(T, T, dtype=torch.bool, device=scores_XTS.device).triu(1)
    scores_XTS.mul_(scale)[..., -T:].masked_fill_(is_future, -torch.inf)
    return torch.softmax(scores_XTS, dim=-1)


def causal_softmax_gradient_(grad_XTS: Tensor, weight_XTS: Tensor, scale: float) -> Tensor:
    """Return the gradient of the scores; may overwrite that of the weights."""
    gradient = torch._softmax_backward_data(grad_XTS, weight_XTS, -1, weight_XTS.dtype)
    return gradient.mul_(scale)
