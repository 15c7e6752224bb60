"""Scores of sequence classification.

Letters: B batch, T chunk positions, V n_outputs.
"""

import torch.nn.functional as F
from torch import Tensor

from switchhead_kernels.autocast import without_autocast
from switchhead_lab.data.batches import PADDING
from switchhead_lab.model.transformer import Memory, Transformer
from switchhead_lab.objectives.base import Task
from switchhead_lab.objectives.classification import SequenceClassification
from switchhead_lab.training.scoring import Score, Scorer


class SequenceClass(Scorer):
    """Classification: one class per sequence, from pooled outputs.

    The output layer is linear, so pooling the outputs equals pooling the hidden states.
    """

    def __init__(self, config: SequenceClassification, task: Task) -> None:
        super().__init__(config, task)
        self._pooling = config.pooling

    def score(self, model: Transformer, inputs: Tensor, targets: Tensor, memory: Memory) -> Score:
        """Score the predicted classes of whole sequences.

        Args:
            model: A model with one output per class.
            inputs: Shape [B, T], int64, `PADDING` at the end.
            targets: Shape [B], int64 in [0, V).
            memory: Empty: sequences are independent.
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
            {"correct": n_correct},
            is_token_BT,
        )

    def _pool(self, logits_BTV: Tensor, is_token_BT: Tensor) -> Tensor:
        if self._pooling == "first":
            return logits_BTV[:, 0]
        summed_BV = (logits_BTV * is_token_BT[:, :, None]).sum(dim=1)
        return summed_BV / is_token_BT.sum(dim=1, keepdim=True)
