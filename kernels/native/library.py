"""Calls of the built CPU kernels."""

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from switchhead_kernels.native import build

SUFFIXES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def is_usable(*tensors: Tensor) -> bool:
    """Return whether kernels support these tensors: on the CPU and contiguous.

    Builds the kernels if necessary; warns once if they cannot be built.
    """
    return (
        all(x.device.type == "cpu" and x.is_contiguous() for x in tensors)
        and not torch.compiler.is_compiling()
        and not build.why_unavailable()
    )


@functools.cache
def function(name: str, arguments: Sequence[Any], result: Any = None) -> Callable[..., Any]:
    """Return a function of the library.

    Args:
        name: Its name in the library.
        arguments: ctypes of its arguments.
        result: ctype of its result; None for void.
    """
    found: Any = getattr(build.load(), name)
    found.argtypes, found.restype = arguments, result
    return found  # type: ignore[no-any-return]


def call(name: str, *arguments: Tensor | int | float | None, result: Any = None) -> Any:
    """Call a function; tensors are passed as pointers, the number of threads is appended.

    Args:
        name: Its name in the library.
        arguments: Its arguments without the number of threads.
        result: ctype of its result; None for void.
    """
    types = tuple(
        ctypes.c_float
        if isinstance(x, float)
        else ctypes.c_int64
        if isinstance(x, int)
        else ctypes.c_void_p
        for x in arguments
    )
    pointers = (x.data_ptr() if isinstance(x, Tensor) else x for x in arguments)
    return function(name, (*types, ctypes.c_int64), result)(*pointers, torch.get_num_threads())
