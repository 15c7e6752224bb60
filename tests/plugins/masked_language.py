"""A user's plugin: masked language modelling, with masks drawn per batch.

Source: BERT (Devlin et al., arXiv:1810.04805). Differs in that every chosen token is masked.
"""

from typing import ClassVar, Literal

import numpy as np
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from switchhead_lab.data.batches import IGNORE, Batch
from switchhead_lab.model.transformer import Memory, Transformer
from switchhead_lab.objectives.base import Objective, Task, require_no_memory
from switchhead_lab.objectives.metrics import ACCURACY, PERPLEXITY, Metric, Totals
from switchhead_lab.objectives.registry import register_objective
from switchhead_lab.training.scoring import Score, Scorer


def _fraction_left(totals: Totals) -> float:
    return totals.counts["left"] / totals.n_targets


DOUBT = Metric("doubt", "doubt", "doubt", _fraction_left, unit="%", is_compared_by_ratio=False)
"""Mean probability not assigned to the masked token."""


@register_objective
class MaskedLanguageModelling(Objective):
    """Predict masked tokens from both sides."""

    metrics: ClassVar[tuple[Metric, ...]] = (PERPLEXITY, ACCURACY, DOUBT)
    headline: ClassVar[Metric] = ACCURACY
    n_extra_tokens: ClassVar[int] = 1
    module: ClassVar[str] = "masked_language:MaskedTokens"

    kind: Literal["masked_language_model"]
    masked_fraction: float = Field(default=0.25, gt=0.0, lt=1.0)
    """Fraction of tokens to mask."""

    def require_possible(self, task: Task) -> None:
        """Reject memory and causal models."""
        require_no_memory(self.kind, task.context_multiple)
        if task.direction != "bidirectional":
            raise ValueError('masked tokens need both sides; use model.direction="bidirectional"')

    def n_outputs(self, task: Task) -> int:
        """Return the number of distinct tokens; the mask is never predicted."""
        return task.vocab_size

    def target_shape(self, batch_size: int, seq_len: int) -> tuple[int, ...]:
        """Return the shape of one target per position."""
        return (batch_size, seq_len)


class MaskedTokens(Scorer):
    """Masks tokens of a batch and scores their predictions."""

    config: MaskedLanguageModelling

    def prepare(self, batch: Batch, draw: int) -> Batch:
        """Mask the configured fraction of the tokens of each row, at least one."""
        inputs_BT = batch.inputs_BT
        n_masked = max(1, round(self.config.masked_fraction * inputs_BT.shape[1]))
        order_BT = np.random.default_rng(draw).random(inputs_BT.shape).argsort(axis=1)
        is_masked_BT = order_BT < n_masked
        return Batch(
            np.where(is_masked_BT, self.task.vocab_size, inputs_BT),
            np.where(is_masked_BT, inputs_BT, IGNORE),
            batch.starts_stream,
        )

    def score(self, model: Transformer, inputs: Tensor, targets: Tensor, memory: Memory) -> Score:
        """Score the predictions of the masked tokens."""
        output = model(inputs, memory)
        logits_NV, targets_N = output.logits_BTV.float().flatten(0, 1), targets.flatten()
        loss = F.cross_entropy(logits_NV, targets_N, ignore_index=IGNORE, reduction="sum")
        p_NV = logits_NV.detach().softmax(-1)
        p_right_N = p_NV.gather(-1, targets_N.clamp(min=0)[:, None])[:, 0]
        counts = {
            "correct": (p_NV.argmax(-1) == targets_N).sum(),  # never equal to IGNORE
            "left": ((1.0 - p_right_N) * (targets_N != IGNORE)).sum(),
        }
        return Score(loss, output.memory, output.auxiliary_loss, output.choices, counts)
