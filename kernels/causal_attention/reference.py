"""The definition of causal attention, in PyTorch operators.

Letters: X attention maps (heads and sequences), T query positions, S key positions, P d_head.
"""

import torch
from torch import Tensor


def attend(query_XTP: Tensor, key_XSP: Tensor, value_XSP: Tensor) -> Tensor:
    """Attend from the last T of S positions to the positions up to each; queries are scaled.

    Returns:
        Shape [X, T, P].
    """
    T, S = query_XTP.shape[1], key_XSP.shape[1]
    scores_XTS = query_XTP @ key_XSP.transpose(1, 2)
    is_future_TS = torch.ones(T, S, dtype=torch.bool, device=scores_XTS.device).triu(S - T + 1)
    return scores_XTS.masked_fill(is_future_TS, -torch.inf).softmax(dim=-1) @ value_XSP
