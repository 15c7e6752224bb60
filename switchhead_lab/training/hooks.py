"""Hooks: observers of the training loop, which may end training early."""

from dataclasses import dataclass
from typing import Protocol

from switchhead_lab.tracking.record import MetricPoint


@dataclass(frozen=True)
class Prune:
    """Returned by a hook to end training early.

    Attributes:
        reason: Why, recorded in the run's status.
    """

    reason: str


class Hook(Protocol):
    """Observes every recorded point."""

    def observe(self, point: MetricPoint) -> Prune | None:
        """Observe a point; return `Prune` to end training."""
