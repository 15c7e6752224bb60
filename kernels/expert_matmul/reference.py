"""The definition: a loop over heads and experts.

Letters: N tokens, H heads, E experts per head, K chosen per token and head, X width in, Y width
out.
"""

import torch
from torch import Tensor


def expert_matmul(
    x: Tensor,
    weight_HEXY: Tensor,
    index_NHK: Tensor,
    gate_NHK: Tensor | None,
    rows_in: str,
    rows_out: str,
) -> Tensor:
    """Multiply rows with their experts' weights; see `switchhead_kernels.expert_matmul`."""
    N, H, K = index_NHK.shape
    as_slots = {"token": x[:, None, None], "head": x[:, :, None], "slot": x}[rows_in]
    x_NHKX = as_slots.expand(N, H, K, x.shape[-1])
    heads = []
    for head in range(H):
        product_NKY = x.new_zeros(N, K, weight_HEXY.shape[3])
        for expert, weight_XY in enumerate(weight_HEXY[head]):
            is_chosen_NK1 = (index_NHK[:, head] == expert).unsqueeze(-1)
            product_NKY = product_NKY + is_chosen_NK1 * (x_NHKX[:, head] @ weight_XY)
        heads.append(product_NKY)
    product_NHKY = torch.stack(heads, dim=1)
    if gate_NHK is not None:
        product_NHKY = product_NHKY * gate_NHK.to(x.dtype).unsqueeze(-1)
    return {
        "token": lambda: product_NHKY.sum(dim=(1, 2)),
        "head": lambda: product_NHKY.sum(dim=2),
        "slot": lambda: product_NHKY,
    }[rows_out]()
