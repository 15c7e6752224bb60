"""Cases: the checks and measurements of a part, each of which can fail on its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from switchhead_lab.training.compute_setup import ComputeSetup, prepare_setup

Findings = dict[str, Any]
"""Findings of a case as plain data."""


@dataclass(frozen=True)
class Context:
    """Where cases run.

    Attributes:
        setup: Device and precision.
        is_dry_run: Tiny sizes on the CPU; timings mean nothing.
    """

    setup: ComputeSetup
    is_dry_run: bool

    @property
    def device(self) -> torch.device:
        """The torch device."""
        return self.setup.device


@dataclass(frozen=True)
class Case:
    """One check or measurement.

    Attributes:
        name: Unique within its part.
        run: Yields findings as they come, so that a later crash loses none. Raises
            `WrongResultError` if a result is outside its tolerance.
    """

    name: str
    run: Callable[[], Iterator[Findings]]


class WrongResultError(Exception):
    """A computed result is outside its tolerance."""


def make_context(*, is_dry_run: bool) -> Context:
    """Open the GPU, or the CPU for a dry run.

    Raises:
        ConfigError: If there is no CUDA device.
    """
    return Context(prepare_setup("cpu" if is_dry_run else "cuda", "auto"), is_dry_run)
