"""Counts the floats that autograd saves for the backward pass."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def saved_for_backward(known: Iterable[Tensor]) -> Iterator[dict[int, int]]:
    """Collect the floats that autograd saves, by storage.

    Args:
        known: Tensors that exist anyway, such as parameters; not counted.
    """
    excluded = {_storage(tensor) for tensor in known}
    kept: dict[int, int] = {}
    held: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        key = _storage(tensor)
        if tensor.is_floating_point() and key not in excluded:
            # The size of the storage: a view keeps all of it alive, an expanded tensor no more.
            kept[key] = tensor.untyped_storage().nbytes() // tensor.element_size()
            # Kept alive, so that no later storage reuses the address of a freed one.
            held.append(tensor.detach())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
