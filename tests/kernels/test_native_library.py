"""Conditions for calling the CPU kernels."""

import torch

from switchhead_kernels.native import library


def test_kernels_are_used_if_available(by_kernels: bool) -> None:
    assert library.is_usable(torch.ones(2, 3)) == by_kernels
    assert not library.is_usable(torch.ones(2, 3).T)
    assert not library.is_usable(torch.ones(2, 3, device="meta"))
