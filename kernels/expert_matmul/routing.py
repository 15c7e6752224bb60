"""Routing: which rows go to which expert, in the order that kernels read them.

A slot is one choice: token n, head h, k-th of its experts. Slots are numbered in that order, and
group g = h * E + e holds the slots of expert e of head h.

Letters: N tokens, H heads, E experts per head, K chosen per token and head, S slots (N * H * K),
G groups (H * E).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

_MOST_GROUPS_OF_A_BYTE = 256


@dataclass(frozen=True)
class Routing:
    """Choices of experts; make one with `make_routing` and share it between projections.

    What backends read is computed once and cached in `made`, by name. (Before Python 3.12
    `cached_property` takes a lock, which torch.compile cannot trace.)

    Attributes:
        index_NHK: Shape [N, H, K], int64 in [0, E): the chosen experts.
        n_experts: E.
        made: The cache.
    """

    index_NHK: Tensor
    n_experts: int
    made: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def n_groups(self) -> int:
        """Experts of all heads together, G."""
        return self.index_NHK.shape[1] * self.n_experts

    @property
    def group_NHK(self) -> Tensor:
        """Group of each slot, shape [N, H, K], int32."""
        if "group_NHK" not in self.made:
            self.made["group_NHK"] = self._number_groups()
        return self.made["group_NHK"]

    @property
    def order_S(self) -> Tensor:
        """Slots sorted by group, stably, shape [S], int64."""
        if "order_S" not in self.made:
            # A GPU's radix sort takes a pass for every few bits of its keys.
            keys_S = self.group_NHK.flatten()
            if keys_S.device.type == "cuda" and self.n_groups <= _MOST_GROUPS_OF_A_BYTE:
                keys_S = keys_S.to(torch.uint8)
            self.made["order_S"] = torch.sort(keys_S, stable=True).indices
        return self.made["order_S"]

    @property
    def offset_G1(self) -> Tensor:
        """Start of each group in `order_S`, and the end of the last, shape [G + 1], int32."""
        if "offset_G1" not in self.made:
            groups = torch.arange(
                self.n_groups + 1, device=self.index_NHK.device, dtype=torch.int32
            )
            sorted_S = self.group_NHK.flatten().index_select(0, self.order_S)
            self.made["offset_G1"] = torch.searchsorted(sorted_S, groups, out_int32=True)
        return self.made["offset_G1"]

    def _number_groups(self) -> Tensor:
        index = self.index_NHK
        if index.shape[1] == 1:
            return index.int()
        first_H1 = torch.arange(0, self.n_groups, self.n_experts, device=index.device)[:, None]
        return (index + first_H1).int()


def make_routing(index_NHK: Tensor, n_experts: int) -> Routing:
    """Prepare choices of experts for `expert_matmul`; without a device sync.

    Args:
        index_NHK: Shape [N, H, K], int64 in [0, n_experts), distinct along K.
        n_experts: Experts of each head.
    """
    return Routing(index_NHK, n_experts)
