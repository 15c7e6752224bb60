"""Matmul precision, with and without autocast."""

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor

# Used to count costs. (torch.compile in older versions cannot trace `is_autocast_available`.)
_WITHOUT_AUTOCAST = ("meta",)


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which autocast would compute matmuls of `x`."""
    kind = x.device.type
    if kind not in _WITHOUT_AUTOCAST and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return x.dtype


def in_compute_dtype(x: Tensor) -> Tensor:
    """Return `x` in the dtype of its matmuls under autocast, cast once for all uses."""
    return x.to(compute_dtype(x))


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Return a context in which matmuls keep the dtypes of their operands."""
    kind = x.device.type
    if kind in _WITHOUT_AUTOCAST:
        return contextlib.nullcontext()
    return torch.autocast(kind, enabled=False)
