"""Metrics: names on disk and in print, units and directions, and how they follow from sums."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Totals:
    """What the targets of a split add up to.

    Attributes:
        loss_nats: Loss in nats, summed over the targets.
        n_targets: Targets scored.
        counts: Further sums, by the names that the objective's scorer gives them.
        n_bytes: UTF-8 bytes of the split's text; None where that is unknown or there is no text.
    """

    loss_nats: float
    n_targets: int
    counts: Mapping[str, float] = field(default_factory=dict)
    n_bytes: int | None = None

    @property
    def mean_loss_nats(self) -> float:
        """Loss per target in nats."""
        return self.loss_nats / self.n_targets


@dataclass(frozen=True)
class Metric:
    """A figure of a split.

    Attributes:
        name: Name in records, after the split: `validation/<name>` of points and
            `validation_<name>` of results.
        label: Name in print.
        short_label: Name where room is scarce.
        value: Computes it; None where that is not possible.
        unit: Unit in print; a metric in "%" is recorded as a fraction.
        decimals: Decimals in print.
        lower_is_better: Its direction.
        is_compared_by_ratio: Whether models are compared by ratios; else by differences.
        complement: Name of 1 - value, which figures show where higher is better.
        null: What null means in records, since JSON has finite numbers only.
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
        """What the best value is among others."""
        return "lowest" if self.lower_is_better else "highest"

    def text(self, value: float | None) -> str:
        """Write a recorded value with its unit; a dash for None."""
        if value is None:
            return "-"
        number = f"{self.scale * value:,.{self.decimals}f}"
        return f"{number} {self.unit}" if self.unit else number

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another one."""
        return value < other if self.lower_is_better else value > other


def perplexity_of(loss_nats: float) -> float:
    """Return exp of a mean loss in nats; infinite where that overflows."""
    return math.exp(loss_nats) if loss_nats < 700 else math.inf


def _perplexity(totals: Totals) -> float:
    return perplexity_of(totals.mean_loss_nats)


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
"""Exp of the mean loss; infinite where that overflows."""
BITS_PER_BYTE = Metric("bits_per_byte", "bits per byte", "bpb", _bits_per_byte, decimals=3)
"""Code length of a text per byte, which does not depend on the tokenizer."""
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
"""Fraction of the targets predicted right; the scorer counts them as "correct"."""
