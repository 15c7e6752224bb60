"""Training objectives: what is predicted and how it is scored.

Letters: B batch, T chunk positions, V vocab_size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from switchhead_lab.data.batches import IGNORE
from switchhead_lab.model.precision import without_autocast
from switchhead_lab.model.router import ExpertChoice
from switchhead_lab.model.transformer import LanguageModel, Memory


@dataclass(frozen=True)
class Score:
    """The loss of one batch.

    Attributes:
        loss_nats_sum: Scalar, float32: negative log-likelihood summed over the targets.
        n_targets: Targets that were scored.
        memory: Memory for the next chunk of the same streams.
        auxiliary_loss: Scalar that training adds to the mean loss; None if there is none.
        choices: Choices of experts by router, for statistics.
    """

    loss_nats_sum: Tensor
    n_targets: int
    memory: Memory
    auxiliary_loss: Tensor | None
    choices: Mapping[str, ExpertChoice]


class Objective(Protocol):
    """Scores a batch; the training loop knows nothing else of the task."""

    def score(self, model: LanguageModel, inputs: Tensor, targets: Tensor, memory: Memory) -> Score:
        """Run the model on a batch and score its predictions."""


class NextToken:
    """Language modelling: the next token at every position."""

    def score(self, model: LanguageModel, inputs: Tensor, targets: Tensor, memory: Memory) -> Score:
        """Score the next-token predictions of a chunk.

        Args:
            model: The language model.
            inputs: Shape [B, T], int64.
            targets: Shape [B, T], int64; `IGNORE` is not scored.
            memory: What the chunk before returned.
        """
        output = model(inputs, memory)
        # float32: a mean over many small terms of bf16 would lose digits of the perplexity.
        with without_autocast(inputs):
            loss = F.cross_entropy(
                output.logits_BTV.float().flatten(0, 1),
                targets.flatten(),
                ignore_index=IGNORE,
                reduction="sum",
            )
        n_targets = int((targets != IGNORE).sum())
        return Score(loss, n_targets, output.memory, output.auxiliary_loss, output.choices)
