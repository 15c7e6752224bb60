"""Metrics: names, units and directions, and how they are computed from sums."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Totals:
    """Sums over the targets of a split.

    Attributes:
        loss_nats: Loss in nats, summed over the targets.
        n_targets: Targets scored.
        counts: Other sums of the objective's scorer, by name.
        n_bytes: UTF-8 bytes of the split's text; None if unknown or not text.
    """

    loss_nats: float
    n_targets: int
    counts: Mapping[str, float] = field(default_factory=dict)
    n_bytes: int | None = None

    @property
    def mean_loss_nats(self) -> float:
        """Loss per target in nats."""
        return self.loss_nats / self.n_targets

    def plus(self, other: "Totals") -> "Totals":
        """Return the sums over the targets of both, parts of one split."""
        counts = dict(self.counts)
        for name, count in other.counts.items():
            counts[name] = counts.get(name, 0.0) + count
        n_targets = self.n_targets + other.n_targets
        return Totals(self.loss_nats + other.loss_nats, n_targets, counts, self.n_bytes)


@dataclass(frozen=True)
class Metric:
    """A measure of quality on a split.

    Attributes:
        name: Name in records, after the split: `validation/<name>` of points and
            `validation_<name>` of results.
        label: Display name.
        short_label: Display name in narrow columns.
        value: Function that computes it; returns None if that is impossible.
        unit: Printed unit; a metric in "%" is recorded as a fraction.
        decimals: Printed decimals.
        lower_is_better: Whether lower values are better.
        is_compared_by_ratio: Whether models are compared by ratios; else by differences.
        complement: Name of 1 - value, which figures show if higher is better.
        null: Meaning of null in records, since JSON has only finite numbers.
    """

    name: str
    label: str
    short_label: str
    value: Callable[[Totals], float | None]
    unit: str = ""
    decimals: int = 2
    lower_is_better: bool = True
    is_compared_by_ratio: bool = True
    complement: str = ""
    null: float | None = None

    @property
    def scale(self) -> float:
        """Factor from the recorded to the printed value."""
        return 100.0 if self.unit == "%" else 1.0

    @property
    def heading(self) -> str:
        """Name with unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def superlative(self) -> str:
        """Name of the best value: "lowest" or "highest"."""
        return "lowest" if self.lower_is_better else "highest"

    def text(self, value: float | None) -> str:
        """Format a recorded value with its unit; a dash for None."""
        if value is None:
            return "-"
        number = f"{self.scale * value:,.{self.decimals}f}"
        return f"{number} {self.unit}" if self.unit else number

    def is_better(self, value: float, other: float) -> bool:
        """Return whether a value is better than another."""
        return value < other if self.lower_is_better else value > other


def perplexity_of(loss_nats: float) -> float:
    """Return exp of a mean loss in nats; infinite on overflow."""
    return math.exp(loss_nats) if loss_nats < 700 else math.inf


def _bits_per_byte(totals: Totals) -> float | None:
    if totals.n_bytes is None:
        return None
    return totals.mean_loss_nats * totals.n_targets / math.log(2) / totals.n_bytes


LOSS = Metric("loss_nats", "loss", "loss", lambda totals: totals.mean_loss_nats, "nats", 3)
"""Mean loss per target; every objective has it."""
PERPLEXITY = Metric(
    "perplexity",
    "perplexity",
    "ppl",
    lambda totals: perplexity_of(totals.mean_loss_nats),
    null=math.inf,
)
"""Exp of the mean loss; infinite on overflow."""
BITS_PER_BYTE = Metric("bits_per_byte", "bits per byte", "bpb", _bits_per_byte, decimals=3)
"""Bits per UTF-8 byte of text, comparable across tokenizers."""
ACCURACY = Metric(
    "accuracy",
    "accuracy",
    "acc.",
    lambda totals: totals.counts["correct"] / totals.n_targets,
    unit="%",
    decimals=1,
    lower_is_better=False,
    is_compared_by_ratio=False,
    complement="error",
)
"""Fraction of the targets predicted correctly; the scorer counts them as "correct"."""
