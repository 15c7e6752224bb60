"""Scores of language modelling.

Letters: B batch, T chunk positions.
"""

from torch import Tensor

from switchhead_kernels.linear_cross_entropy import linear_cross_entropy
from switchhead_lab.data.batches import IGNORE
from switchhead_lab.model.transformer import Memory, Transformer
from switchhead_lab.training.scoring import Score, Scorer


class NextToken(Scorer):
    """Language modelling: the next token at every position."""

    def score(self, model: Transformer, inputs: Tensor, targets: Tensor, memory: Memory) -> Score:
        """Score the next-token predictions of a chunk.

        Args:
            model: The language model.
            inputs: Shape [B, T], int64.
            targets: Shape [B, T], int64; `IGNORE` is not scored.
            memory: Memory returned for the previous chunk.
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
