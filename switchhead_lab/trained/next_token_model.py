"""What scoring and generation need of a language model: it reads chunks and predicts tokens.

Letters: B sequences, T chunk positions, N positions, D width, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from switchhead_lab.model.transformer import ModelOutput, Transformer


class NextTokenModel(Protocol):
    """A language model that reads chunks of at most `seq_len` tokens."""

    @property
    def seq_len(self) -> int:
        """Longest chunk."""
        ...

    @property
    def window(self) -> int | None:
        """Most tokens that it can read; None if it reads any number, remembering the last."""
        ...

    @property
    def device(self) -> torch.device:
        """Its device."""
        ...

    def read(self, tokens_BT: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Return hidden states [B, T, D] and the memory for the next chunk.

        Args:
            tokens_BT: Shape [B, T], int64.
            memory: Memory of the previous chunk; None at the start of a text.
        """
        ...

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """Return predictions of the next token, shape [N, V]."""
        ...

    def take(self, memory: Any, rows: Sequence[int]) -> Any:
        """Return the memory of some sequences of a batch, which may repeat."""
        ...


class TransformerReader:
    """A model of the lab in evaluation mode, read as in its validation.

    Args:
        model: The model, on its device.
        precision: Precision of matmuls, "bf16" or "fp32".
    """

    def __init__(self, model: Transformer, precision: str) -> None:
        self._model, self._is_bf16 = model, precision == "bf16"
        self.seq_len = model.config.seq_len
        self.window = None if model.memory_len else self.seq_len
        self.device = next(model.parameters()).device

    def read(self, tokens_BT: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Return hidden states [B, T, D] and the memory for the next chunk."""
        with self._autocast():
            output = self._model(tokens_BT, memory or ())
        assert isinstance(output, ModelOutput)
        return output.hidden_BTD, output.memory

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """Return predictions of the next token, shape [N, V]."""
        with self._autocast():
            predictions: Tensor = self._model.output(hidden_ND)
        return predictions

    def take(self, memory: Any, rows: Sequence[int]) -> Any:
        """Return the memory of some sequences of a batch, which may repeat."""
        index = torch.tensor(list(rows), device=self.device)
        return tuple(layer_BMD[index] for layer_BMD in memory)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._is_bf16)
