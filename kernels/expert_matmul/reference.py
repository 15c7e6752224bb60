"""The definition of both expert projections: a loop over heads and experts.

Letters: N tokens, D d_model, H heads, P d_head, E experts per head, K chosen per token.
"""

import torch
from torch import Tensor


def project_values(
    x_ND: Tensor, weight_HEDP: Tensor, index_NHK: Tensor, gate_NHK: Tensor
) -> Tensor:
    """Return [N, H, P]: the gated sum over each head's chosen experts of `x W[h, e]`."""
    n_heads, n_experts = weight_HEDP.shape[:2]
    heads = []
    for head in range(n_heads):
        total_NP = x_ND.new_zeros(x_ND.shape[0], weight_HEDP.shape[3])
        for expert in range(n_experts):
            gate_N1 = _gate_of(expert, index_NHK[:, head], gate_NHK[:, head])
            total_NP = total_NP + gate_N1.to(x_ND.dtype) * (x_ND @ weight_HEDP[head, expert])
        heads.append(total_NP)
    return torch.stack(heads, dim=1)


def project_outputs(
    x_NHP: Tensor, weight_HEPD: Tensor, index_NHK: Tensor, gate_NHK: Tensor
) -> Tensor:
    """Return [N, D]: the gated sum over heads and their chosen experts of `x[h] W[h, e]`."""
    n_heads, n_experts = weight_HEPD.shape[:2]
    total_ND = x_NHP.new_zeros(x_NHP.shape[0], weight_HEPD.shape[3])
    for head in range(n_heads):
        for expert in range(n_experts):
            gate_N1 = _gate_of(expert, index_NHK[:, head], gate_NHK[:, head])
            rows_ND = x_NHP[:, head] @ weight_HEPD[head, expert]
            total_ND = total_ND + gate_N1.to(x_NHP.dtype) * rows_ND
    return total_ND


def _gate_of(expert: int, index_NK: Tensor, gate_NK: Tensor) -> Tensor:
    """Return [N, 1]: each token's gate for `expert`, zero where it was not chosen."""
    return (gate_NK * (index_NK == expert)).sum(dim=1, keepdim=True)
