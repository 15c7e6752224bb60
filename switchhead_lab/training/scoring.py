"""The interface between an objective and the training loop: scores of a batch.

Letters: B batch, T chunk positions.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.batches import Batch
from switchhead_lab.model.router import RoutingDecision
from switchhead_lab.model.transformer import Memory, Transformer
from switchhead_lab.objectives.base import Objective, Task


@dataclass(frozen=True)
class Score:
    """The loss of one batch.

    Attributes:
        loss_nats_sum: Scalar, float32: negative log-likelihood summed over the targets.
        memory: Memory for the next chunk of the same streams.
        auxiliary_loss: Scalar that training adds to the mean loss; None if there is none.
        all_choices: Expert choices by router, padding included.
        counts: Scalars to sum over the targets of a split, for the objective's metrics.
        is_token_BT: False for padding, shape [B, T]; None if there is no padding.
    """

    loss_nats_sum: Tensor
    memory: Memory
    auxiliary_loss: Tensor | None
    all_choices: Mapping[str, RoutingDecision]
    counts: Mapping[str, Tensor] = field(default_factory=dict)
    is_token_BT: Tensor | None = None

    @cached_property
    def choices(self) -> Mapping[str, RoutingDecision]:
        """Choices without padding, for statistics; reading them is a device sync."""
        return {name: part.at_tokens(self.is_token_BT) for name, part in self.all_choices.items()}


class Scorer(ABC):
    """Scores the batches of an objective; all that the training loop knows of the task.

    Args:
        config: The objective.
        task: Properties of data and model that the objective depends on.
    """

    def __init__(self, config: Objective, task: Task) -> None:
        self.config, self.task = config, task

    def prepare(self, batch: Batch, draw: int) -> Batch:
        """Turn a batch of the data into inputs and targets of the model.

        All randomness must come from `draw`. A CUDA graph replays only batches with the captured
        number of targets; others run eagerly.

        Args:
            batch: Batch of the data set.
            draw: Seed from the objective's `training_draw` or `evaluation_draw`.

        Returns:
            A batch with at least one target that is not `IGNORE`; by default unchanged.
        """
        del draw
        return batch

    @abstractmethod
    def score(self, model: Transformer, inputs: Tensor, targets: Tensor, memory: Memory) -> Score:
        """Run the model on a prepared batch and score its predictions.

        Args:
            model: A model with the objective's outputs.
            inputs: Shape [B, T], int64.
            targets: Shape as the objective's `target_shape`, int64.
            memory: Memory returned for the previous chunk.
        """


class ScoredModel(nn.Module):
    """Model and scorer as one module, whose forward pass ranks can hook.

    Args:
        model: The model.
        scorer: How its predictions are scored.
    """

    def __init__(self, model: Transformer, scorer: Scorer) -> None:
        super().__init__()
        self.model, self.scorer = model, scorer

    def forward(self, inputs: Tensor, targets: Tensor, memory: Memory) -> Score:
        """Score a prepared batch; arguments as in `Scorer.score`."""
        return self.scorer.score(self.model, inputs, targets, memory)


def build_scorer(config: RunConfig) -> Scorer:
    """Build the scorer of a run's objective."""
    scorer = config.objective.build(config.task)
    assert isinstance(scorer, Scorer)
    return scorer
