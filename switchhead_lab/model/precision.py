"""Which type products are computed in, under autocast and without."""

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type that autocast would give to products of `x`."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return x.dtype


def in_compute_dtype(x: Tensor) -> Tensor:
    """Cast to the type that autocast would give to products, once for all uses of `x`."""
    return x.to(compute_dtype(x))


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Return a context in which products keep the types of their operands."""
    kind = x.device.type
    if not torch.amp.is_autocast_available(kind):  # the meta device, which only counts
        return contextlib.nullcontext()
    return torch.autocast(kind, enabled=False)
