"""The fused pass: the sum of gradients of the whole context and of the chunk, in two dtypes.

Letters: B sequences, S positions of memory and chunk, T those of the chunk, D d_model.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from switchhead_kernels.attention_input import reference
from switchhead_kernels.native import library
from switchhead_kernels.native.library import SUFFIXES


def add_by_position(
    exact: Sequence[Tensor | None], rounded: Sequence[Tensor | None], shape: Sequence[int]
) -> Tensor | None:
    """Return the sum of tensors of all positions and of the last T; None if none are given.

    Args:
        exact: One of all positions, shape [B, S, D], and one of the last T, [B, T, D], same dtype;
            either may be None.
        rounded: The same in another dtype, no finer.
        shape: B, S and D.

    Returns:
        Shape [B, S, D], in the finest given dtype, at least float32.
    """
    given = [part for part in (*exact, *rounded) if part is not None]
    if not given:
        return None
    dtype = functools.reduce(torch.promote_types, [part.dtype for part in given], torch.float32)
    total = given[0].new_empty(tuple(shape), dtype=dtype)
    is_exact = all(part is None or part.dtype == torch.float32 for part in exact)
    rounded_dtype = next((part.dtype for part in rounded if part is not None), torch.float32)
    if is_exact and rounded_dtype in SUFFIXES and library.is_usable(*given):
        n_last = min(part.shape[1] for part in given)
        arguments = (*exact, *rounded, *shape, n_last, total)
        library.call(f"add_by_position_{SUFFIXES[rounded_dtype]}", *arguments)
        return total
    return reference.add_by_position(given, total)
