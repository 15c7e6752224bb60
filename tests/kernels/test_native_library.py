"""When the CPU kernels are called."""

import torch

from switchhead_kernels.native import library


def test_kernels_are_used_where_they_can_be(by_kernels: bool) -> None:
    assert library.is_usable(torch.ones(2, 3)) == by_kernels
    assert not library.is_usable(torch.ones(2, 3).T)
    assert not library.is_usable(torch.ones(2, 3, device="meta"))
