"""Measured quantities of finished runs, including the objective's quality metric."""

from collections.abc import Callable
from dataclasses import dataclass

from switchhead_lab.objectives.metrics import Metric
from switchhead_lab.tracking.record import RunResult, ScoredSplit


@dataclass(frozen=True)
class MeasuredQuantity:
    """A measured quantity of a finished run.

    Attributes:
        key: Name in CSV and provenance.
        read: Returns the quantity from a result, in its printed unit.
        decimals: Decimals in tables.
    """

    key: str
    read: Callable[[RunResult], float]
    decimals: int


MS_PER_STEP = MeasuredQuantity("ms_per_step", lambda result: result.ms_per_step, 1)
TOKENS_PER_SECOND = MeasuredQuantity(
    "tokens_per_second", lambda result: result.tokens_per_second, 0
)


@dataclass(frozen=True)
class Quality:
    """How tables and figures show the headline metric of an objective."""

    metric: Metric

    @property
    def validation(self) -> MeasuredQuantity:
        """The metric of the validation split."""
        return self.of("validation")

    @property
    def test(self) -> MeasuredQuantity:
        """The metric of the test split."""
        return self.of("test")

    @property
    def drawn(self) -> MeasuredQuantity:
        """Quantity of the validation split that figures show; lower is better."""
        metric = self.metric
        if metric.lower_is_better:
            return self.validation
        return MeasuredQuantity(
            self._key("validation", metric.complement),
            lambda result: metric.scale * (1.0 - _value(result, "validation", metric)),
            metric.decimals,
        )

    @property
    def drawn_heading(self) -> str:
        """Heading of `drawn`."""
        metric = self.metric
        if metric.lower_is_better:
            return f"validation {metric.heading}"
        return f"validation {metric.complement}" + (f" ({metric.unit})" if metric.unit else "")

    @property
    def figure_prefix(self) -> str:
        """First word of the figures' names."""
        metric = self.metric
        name = metric.label if metric.lower_is_better else metric.complement
        return name.replace(" ", "-")

    @property
    def short_heading(self) -> str:
        """Name of the metric in narrow tables."""
        metric = self.metric
        return f"{metric.short_label} {metric.unit}" if metric.unit else metric.short_label

    @property
    def relative_key(self) -> str:
        """Name of the column that compares validation with the baseline's."""
        return self.relative_key_of("validation")

    def relative_key_of(self, split: ScoredSplit) -> str:
        """Return the name of the column that compares a split with the baseline's."""
        key = self.of(split).key
        return f"relative_{key}" if self.metric.is_compared_by_ratio else f"{key}_difference"

    def relative_heading(self, baseline: str, split: ScoredSplit) -> str:
        """Return the heading of the column that compares a split with the baseline's."""
        metric = self.metric
        if metric.is_compared_by_ratio:
            return f"{split} {metric.heading} / {baseline}"
        difference = "points vs" if metric.unit == "%" else "minus"
        return f"{split} {metric.heading}, {difference} {baseline}"

    def text(self, value: float | None, missing: str) -> str:
        """Format a recorded value without its unit, which headings have."""
        if value is None:
            return missing
        return f"{self.metric.scale * value:,.{self.metric.decimals}f}"

    def of(self, split: ScoredSplit) -> MeasuredQuantity:
        """Return the metric of a split."""
        metric = self.metric
        return MeasuredQuantity(
            self._key(split, metric.name),
            lambda result: metric.scale * _value(result, split, metric),
            metric.decimals,
        )

    def _key(self, split: ScoredSplit, name: str) -> str:
        return f"{split}_{name}" + ("_percent" if self.metric.unit == "%" else "")


def _value(result: RunResult, split: ScoredSplit, metric: Metric) -> float:
    value = result.value(split, metric)
    assert value is not None, f"every run of the objective has its {metric.name}"
    return value
