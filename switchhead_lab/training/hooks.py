"""What the training loop tells the outside, and what the outside may answer."""

from dataclasses import dataclass
from typing import Protocol

from switchhead_lab.tracking.record import MetricPoint


@dataclass(frozen=True)
class Prune:
    """Answer of a hook that wants training to end early.

    Attributes:
        reason: Why, for the record.
    """

    reason: str


class Hook(Protocol):
    """Sees every recorded point."""

    def observe(self, point: MetricPoint) -> Prune | None:
        """Take note of a point; return `Prune` to end training."""
