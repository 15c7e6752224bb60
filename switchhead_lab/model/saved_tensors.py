"""Floats that autograd keeps for the backward pass."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def saved_for_backward(known: Iterable[Tensor]) -> Iterator[dict[int, int]]:
    """Collect the floats that autograd saves, by storage.

    Args:
        known: Tensors that are there anyway, such as parameters: not counted.
    """
    excluded = {_storage(tensor) for tensor in known}
    kept: dict[int, int] = {}
    held: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        key = _storage(tensor)
        if tensor.is_floating_point() and key not in excluded:
            # A view keeps its whole storage, an expanded one no more than that.
            kept[key] = tensor.untyped_storage().nbytes() // tensor.element_size()
            # Held to the end, so that no storage is taken for one that was freed before.
            held.append(tensor.detach())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
