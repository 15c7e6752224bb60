"""Base class of objectives: fields, targets, metrics and random draws."""

import hashlib
import pkgutil
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.objectives.metrics import LOSS, Metric, Totals


@dataclass(frozen=True)
class Task:
    """Properties of data and model that an objective depends on.

    Attributes:
        data_kind: Kind of the data.
        vocab_size: Distinct tokens of the data.
        n_classes: Classes of labelled examples; None for running text.
        example_length: Maximum tokens of an example; None for running text.
        direction: "causal" or "bidirectional" attention.
        seq_len: Length of the active chunk in tokens (T).
        context_multiple: Chunks of context including the active one (C).
    """

    data_kind: str
    vocab_size: int
    n_classes: int | None
    example_length: int | None
    direction: str
    seq_len: int
    context_multiple: int


@dataclass(frozen=True)
class TrivialModel:
    """A model that ignores the inputs, which every trained model must beat.

    Attributes:
        name: Display name.
        path: Keys in the data's manifest that lead to its headline metric on validation.
    """

    name: str
    path: tuple[str, ...]

    def value(self, manifest: Mapping[str, Any]) -> float | None:
        """Return its headline metric from the manifest; None if not recorded."""
        found: Any = manifest
        for key in self.path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return float(found) if isinstance(found, int | float) else None


class Objective(FrozenModel):
    """A training objective; subclasses add a literal `kind` and their own fields.

    Class attributes:
        metrics: Metrics besides the loss, in the order of display.
        headline: Metric that tables and figures show, and by which searches prune and choose the
            best candidate.
        trivial: Trivial model to compare with; None if there is none.
        carries_memory: Whether a chunk continues the previous one.
        predicts_next_token: Whether a model can generate text token by token.
        n_extra_tokens: Tokens that the objective adds to those of the data, such as a mask.
        module: Scorer, as "package.module:Class"; see `switchhead_lab.training.scoring`.
    """

    metrics: ClassVar[tuple[Metric, ...]]
    headline: ClassVar[Metric]
    trivial: ClassVar[TrivialModel | None] = None
    carries_memory: ClassVar[bool] = False
    predicts_next_token: ClassVar[bool] = False
    n_extra_tokens: ClassVar[int] = 0
    module: ClassVar[str]

    kind: str

    @abstractmethod
    def require_possible(self, task: Task) -> None:
        """Reject data or an architecture that does not suit the objective.

        Raises:
            ValueError: If it does not; the message says what to use.
        """

    @abstractmethod
    def n_outputs(self, task: Task) -> int:
        """Return the width of the output layer: tokens to predict, or classes."""

    @abstractmethod
    def target_shape(self, batch_size: int, seq_len: int) -> tuple[int, ...]:
        """Return the shape of the targets of a batch with inputs [batch_size, seq_len]."""

    @classmethod
    def all_metrics(cls) -> tuple[Metric, ...]:
        """Return every metric, the loss first."""
        return (LOSS, *cls.metrics)

    def measure(self, totals: Totals) -> dict[str, float]:
        """Return the metrics of a split by name, without those that cannot be computed."""
        values = {metric.name: metric.value(totals) for metric in self.all_metrics()}
        return {name: value for name, value in values.items() if value is not None}

    def training_draw(self, seed: int, step: int) -> int:
        """Return the seed of the scorer's random draws for a training batch.

        Args:
            seed: Seed of the run.
            step: Optimiser step, from 0.
        """
        return _draw(f"{self.kind}/training/{seed}/{step}")

    def evaluation_draw(self, number: int) -> int:
        """Return the seed of the scorer's random draws for an evaluation batch.

        It depends on neither run nor step, so that all models are compared on the same draws.

        Args:
            number: Index of the batch in its split.
        """
        return _draw(f"{self.kind}/evaluation/{number}")

    def build(self, task: Task) -> Any:
        """Build the scorer."""
        return pkgutil.resolve_name(self.module)(self, task)


def require_no_memory(kind: str, context_multiple: int) -> None:
    """Reject memory for an objective whose sequences are independent.

    Raises:
        ValueError: If the model has memory.
    """
    if context_multiple > 1:
        raise ValueError(
            f'model.context_multiple={context_multiple} but objective.kind="{kind}" has no memory: '
            "its sequences are independent; use model.context_multiple=1"
        )


def _draw(text: str) -> int:
    # A hash rather than a generator: its values cannot change with a library's version.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
