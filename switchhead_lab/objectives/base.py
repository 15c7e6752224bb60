"""What an objective is: its fields, and every answer that the lab needs about it."""

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
    """What an objective depends on besides its own fields.

    Attributes:
        data_kind: Kind of the data.
        vocab_size: Different tokens of the data.
        n_classes: Classes of labelled examples; None for running text.
        example_length: Most tokens of an example; None for running text.
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
    """A model that has learned nothing of the inputs, which every trained one must beat.

    Attributes:
        name: What it is.
        path: Keys to the headline metric of its validation split in the data's manifest.
    """

    name: str
    path: tuple[str, ...]

    def value(self, manifest: Mapping[str, Any]) -> float | None:
        """Return the headline metric of the model as recorded; None where it is not."""
        found: Any = manifest
        for key in self.path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return float(found) if isinstance(found, int | float) else None


class Objective(FrozenModel):
    """What is learned; subclasses add a literal `kind` and their own fields.

    Class attributes:
        metrics: Metrics besides the loss, in the order of display.
        headline: Metric that tables and figures show, that the pruner of a search compares and
            that chooses its best candidate.
        trivial: Model without learning to compare with; None where there is none.
        carries_memory: Whether a chunk goes on from the one before.
        predicts_next_token: Whether a model generates text token by token.
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
        """Refuse data or an architecture that cannot serve the objective.

        Raises:
            ValueError: If there is no such training; the message says what there is.
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
        """Return the seed of what the scorer draws at random for the batch of a step.

        Args:
            seed: Seed of the run.
            step: Optimiser step, from 0.
        """
        return _draw(f"{self.kind}/training/{seed}/{step}")

    def evaluation_draw(self, number: int) -> int:
        """Return the seed of what the scorer draws for a batch of a split that is scored.

        It depends on neither run nor step, so that all models are compared on the same draws.

        Args:
            number: Batches of the split before this one.
        """
        return _draw(f"{self.kind}/evaluation/{number}")

    def build(self, task: Task) -> Any:
        """Build the scorer."""
        return pkgutil.resolve_name(self.module)(self, task)


def require_no_memory(kind: str, context_multiple: int) -> None:
    """Refuse memory for an objective whose sequences do not follow each other.

    Raises:
        ValueError: If the model has memory.
    """
    if context_multiple > 1:
        raise ValueError(
            f'model.context_multiple={context_multiple} but objective.kind="{kind}" has no memory: '
            "its sequences do not follow each other; use model.context_multiple=1"
        )


def _draw(text: str) -> int:
    # A hash rather than a generator: its values cannot change with a library's version.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
