"""How well a model does, in the terms of its objective: perplexity of text, accuracy of classes."""

from dataclasses import dataclass
from typing import Literal, assert_never

from switchhead_lab.config.objective import (
    LanguageModelling,
    ObjectiveConfig,
    SequenceClassification,
)
from switchhead_lab.tracking.record import RunResult

Quantity = Literal[
    "validation_perplexity",
    "test_perplexity",
    "validation_accuracy_percent",
    "test_accuracy_percent",
    "validation_error_percent",
    "ms_per_step",
    "tokens_per_second",
]


@dataclass(frozen=True)
class Quality:
    """What tables and figures of an objective show.

    Attributes:
        validation: Quantity of the validation split, for tables.
        test: Quantity of the test split.
        heading: Its name.
        short_heading: Its name where room is scarce.
        is_ratio: Whether models are compared by ratios; else by differences.
        drawn: Quantity that figures show; lower is better.
        drawn_heading: Its name.
        figure_prefix: First word of the figures' names.
        decimals: Decimals in tables.
    """

    validation: Quantity
    test: Quantity
    heading: str
    short_heading: str
    is_ratio: bool
    drawn: Quantity
    drawn_heading: str
    figure_prefix: str
    decimals: int

    @property
    def relative_key(self) -> str:
        """Name of the column that compares with the baseline."""
        return f"relative_{self.validation}" if self.is_ratio else f"{self.validation}_difference"

    def relative_heading(self, baseline: str) -> str:
        """Return the heading of the column that compares with the baseline."""
        if self.is_ratio:
            return f"validation {self.heading} / {baseline}"
        return f"validation {self.heading}, points vs {baseline}"


PERPLEXITY = Quality(
    validation="validation_perplexity",
    test="test_perplexity",
    heading="perplexity",
    short_heading="ppl",
    is_ratio=True,
    drawn="validation_perplexity",
    drawn_heading="validation perplexity",
    figure_prefix="perplexity",
    decimals=2,
)
ACCURACY = Quality(
    validation="validation_accuracy_percent",
    test="test_accuracy_percent",
    heading="accuracy (%)",
    short_heading="acc. %",
    is_ratio=False,
    drawn="validation_error_percent",
    drawn_heading="validation error (%)",
    figure_prefix="error",
    decimals=1,
)


def quality_of(objective: ObjectiveConfig) -> Quality:
    """Return how well a model of an objective does is told."""
    match objective:
        case LanguageModelling():
            return PERPLEXITY
        case SequenceClassification():
            return ACCURACY
        case _:
            assert_never(objective)


def read_quantity(result: RunResult, quantity: Quantity) -> float:
    """Return one measured quantity of a finished run.

    Raises:
        AssertionError: If accuracy is asked of a run that predicts no classes.
    """
    match quantity:
        case "validation_accuracy_percent" | "validation_error_percent":
            accuracy = result.validation_accuracy
        case "test_accuracy_percent":
            accuracy = result.test_accuracy
        case _:
            return float(getattr(result, quantity))
    assert accuracy is not None, "only runs that predict classes have an accuracy"
    return 100.0 * (1.0 - accuracy if quantity == "validation_error_percent" else accuracy)
