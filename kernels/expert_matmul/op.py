"""The expert projections of SwitchHead and the choice of their backend.

Source: SwitchHead (arXiv:2312.07987), Eq. 8 to 10.

Letters: N tokens, D d_model, H heads, P d_head, E experts per head, K chosen per token.
"""

from typing import Literal

from torch import Tensor

from switchhead_kernels.expert_matmul import dense, reference

Backend = Literal["dense", "reference"]
_BACKENDS = {"dense": dense, "reference": reference}


def project_values(
    x_ND: Tensor,
    weight_HEDP: Tensor,
    index_NHK: Tensor,
    gate_NHK: Tensor,
    *,
    backend: Backend = "dense",
) -> Tensor:
    """Project each token with the chosen value experts of every head.

    Args:
        x_ND: Shape [N, D], any float dtype.
        weight_HEDP: Shape [H, E, D, P].
        index_NHK: Shape [N, H, K], int64 in [0, E), distinct along K.
        gate_NHK: Shape [N, H, K], any float dtype.
        backend: "dense" (fast) or "reference" (the definition).

    Returns:
        Shape [N, H, P]: the sum over the chosen experts of `gate * (x @ W[h, e])`.
    """
    return _BACKENDS[backend].project_values(x_ND, weight_HEDP, index_NHK, gate_NHK)


def project_outputs(
    x_NHP: Tensor,
    weight_HEPD: Tensor,
    index_NHK: Tensor,
    gate_NHK: Tensor,
    *,
    backend: Backend = "dense",
) -> Tensor:
    """Project each head's row with its chosen output experts and sum over heads.

    Args:
        x_NHP: Shape [N, H, P], any float dtype.
        weight_HEPD: Shape [H, E, P, D].
        index_NHK: Shape [N, H, K], int64 in [0, E), distinct along K.
        gate_NHK: Shape [N, H, K], any float dtype.
        backend: "dense" (fast) or "reference" (the definition).

    Returns:
        Shape [N, D]: the sum over heads and chosen experts of `gate * (x[h] @ W[h, e])`.
    """
    return _BACKENDS[backend].project_outputs(x_NHP, weight_HEPD, index_NHK, gate_NHK)
