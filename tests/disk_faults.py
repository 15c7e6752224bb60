"""Faults of a disk, made to order."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest


def fail_disk_call(
    monkeypatch: pytest.MonkeyPatch, name: str, number: int, code: int = errno.ENOSPC
) -> Callable[[], bool]:
    """Have one call of a function of `os` fail.

    Args:
        monkeypatch: Takes it back.
        name: "mkdir", "fsync", "rename" or "replace"; the methods of Path go through them.
        number: Which call from now on, 0 for the first.
        code: What it fails with.

    Returns:
        A function that says whether that call has come.
    """
    original, n_calls = getattr(os, name), 0

    def call(*arguments: object, **keywords: object) -> object:
        nonlocal n_calls
        n_calls += 1
        if n_calls == number + 1:
            raise OSError(code, os.strerror(code))
        return original(*arguments, **keywords)

    monkeypatch.setattr(os, name, call)
    return lambda: n_calls > number


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as `ulimit -f` does."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set the process's umask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
