"""Training objectives: what is predicted and how it is scored; the one place where one is chosen.

Letters: B batch, T chunk positions, V n_outputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, assert_never

import torch.nn.functional as F
from torch import Tensor

from switchhead_lab.config.objective import (
    LanguageModelling,
    ObjectiveConfig,
    SequenceClassification,
)
from switchhead_lab.data.batches import IGNORE, PADDING
from switchhead_lab.model.linear_cross_entropy import linear_cross_entropy
from switchhead_lab.model.precision import without_autocast
from switchhead_lab.model.router import ExpertChoice
from switchhead_lab.model.transformer import Memory, Transformer


@dataclass(frozen=True)
class Score:
    """The loss of one batch.

    Attributes:
        loss_nats_sum: Scalar, float32: negative log-likelihood summed over the targets.
        memory: Memory for the next chunk of the same streams.
        auxiliary_loss: Scalar that training adds to the mean loss; None if there is none.
        all_choices: Choices of experts by router, padding included.
        n_correct: Targets that were the most likely prediction; None where that is not asked.
        is_token_BT: False for padding, shape [B, T]; None where there is none.
    """

    loss_nats_sum: Tensor
    memory: Memory
    auxiliary_loss: Tensor | None
    all_choices: Mapping[str, ExpertChoice]
    n_correct: Tensor | None = None
    is_token_BT: Tensor | None = None

    @cached_property
    def choices(self) -> Mapping[str, ExpertChoice]:
        """Choices with padding left out, for statistics: reading them is a device sync."""
        return {name: part.at_tokens(self.is_token_BT) for name, part in self.all_choices.items()}


class Objective(Protocol):
    """Scores a batch; the training loop knows nothing else of the task."""

    def score(self, model: Transformer, inputs: Tensor, targets: Tensor, memory: Memory) -> Score:
        """Run the model on a batch and score its predictions."""


class NextToken:
    """Language modelling: the next token at every position."""

    def score(self, model: Transformer, inputs: Tensor, targets: Tensor, memory: Memory) -> Score:
        """Score the next-token predictions of a chunk.

        Args:
            model: The language model.
            inputs: Shape [B, T], int64.
            targets: Shape [B, T], int64; `IGNORE` is not scored.
            memory: What the chunk before returned.
        """
        output = model(inputs, memory)
        loss = linear_cross_entropy(
            output.hidden_BTD.flatten(0, 1),
            output.output.weight,
            output.output.bias,
            targets.flatten(),
            IGNORE,
        )
        return Score(loss, output.memory, output.auxiliary_loss, output.choices)


class SequenceClass:
    """Classification: one class for each sequence, from pooled outputs.

    The output layer is linear, so the pooled outputs are those of the pooled hidden states.
    """

    def __init__(self, config: SequenceClassification) -> None:
        self._pooling = config.pooling

    def score(self, model: Transformer, inputs: Tensor, targets: Tensor, memory: Memory) -> Score:
        """Score the predicted classes of whole sequences.

        Args:
            model: A model with one output for each class.
            inputs: Shape [B, T], int64, `PADDING` at the end.
            targets: Shape [B], int64 in [0, V).
            memory: Empty: sequences do not follow each other.
        """
        is_token_BT = inputs != PADDING
        output = model(inputs, memory, is_token_BT)
        with without_autocast(inputs):
            logits_BV = self._pool(output.logits_BTV.float(), is_token_BT)
            loss = F.cross_entropy(logits_BV, targets, reduction="sum")
        n_correct = (logits_BV.detach().argmax(dim=-1) == targets).sum()
        return Score(
            loss,
            output.memory,
            output.auxiliary_loss,
            output.choices,
            n_correct,
            is_token_BT,
        )

    def _pool(self, logits_BTV: Tensor, is_token_BT: Tensor) -> Tensor:
        if self._pooling == "first":
            return logits_BTV[:, 0]
        summed_BV = (logits_BTV * is_token_BT[:, :, None]).sum(dim=1)
        return summed_BV / is_token_BT.sum(dim=1, keepdim=True)


def build_objective(config: ObjectiveConfig) -> Objective:
    """Build the objective of a configuration."""
    match config:
        case LanguageModelling():
            return NextToken()
        case SequenceClassification():
            return SequenceClass(config)
        case _:
            assert_never(config)
