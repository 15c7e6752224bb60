"""Text generation with a language model, token by token.

Letters: T chunk positions, V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from switchhead_lab.data.encoding import encode_text
from switchhead_lab.errors import ConfigError, DataError
from switchhead_lab.trained.next_token_model import NextTokenModel, TransformerReader
from switchhead_lab.trained.opened_run import Checkpoint, OpenedRun
from switchhead_lab.trained.run import warn_of_unknown


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        n_tokens: Maximum number of new tokens; an end-of-document token ends the text earlier.
        temperature: Divides the logits; 0 is greedy.
        top_p: Sample from the smallest set of likeliest tokens with this total probability; 1 for
            all tokens.
        seed: Seed of the sampling.

    Raises:
        ConfigError: If a value is out of range.
    """

    n_tokens: int = 100
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_tokens < 1:
            raise ConfigError(f"n_tokens = {self.n_tokens}: use 1 or more")
        if not 0.0 <= self.temperature < math.inf:
            raise ConfigError(
                f"temperature = {self.temperature}: use a number of at least 0; 0 takes the "
                "likeliest token"
            )
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"top_p = {self.top_p}: use a number above 0 and at most 1")
        if self.top_p < 1.0 and self.temperature == 0.0:
            raise ConfigError(
                f"top_p = {self.top_p} has no effect at temperature = 0, which takes the likeliest "
                "token; remove it, or raise the temperature"
            )
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed = {self.seed}: use an integer in 0..2^63 - 1")


@torch.inference_mode()
def generate(
    run: OpenedRun,
    prompt: str,
    sampling: Sampling,
    *,
    device: str = "",
    checkpoint: Checkpoint = "last",
) -> str:
    """Return a prompt and its continuation; the same arguments give the same text.

    The prompt is treated as the beginning of a document.

    Args:
        run: A language model.
        prompt: May be empty.
        sampling: How tokens are chosen.
        device: Device to compute on; by default that of lab.toml.
        checkpoint: Checkpoint to load.

    Raises:
        ConfigError: If the device is not available.
        DataError: If the prompt is not UTF-8 or contains reserved tokens, or the tokenizer is
            missing.
        RecordError: If the run is not a language model, or its checkpoint or data are unusable.
    """
    run.require_language_model()
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise DataError(f"prompt {prompt!a}: not UTF-8; use UTF-8 text")
    tokenizer = run.tokenizer()
    ids = encode_text(prompt, tokenizer)
    warn_of_unknown("prompt", ids, tokenizer)
    setup = run.setup(device)
    model = run.model(setup.device.type, checkpoint)
    reader = TokenReader(TransformerReader(model, setup.precision))
    generator = torch.Generator().manual_seed(sampling.seed)
    # In training, a document is preceded by the end of the previous one.
    for token in (tokenizer.end_of_document, *ids):
        reader.read(int(token))
    text = list(map(int, ids))
    for _ in range(sampling.n_tokens):
        token = choose_token(reader.predict(), sampling, generator)
        if token == tokenizer.end_of_document:
            break
        text.append(token)
        reader.read(token)
    return tokenizer.decode(text)


class TokenReader:
    """Reads a text token by token and predicts the next one as in training.

    A model with memory reads whole chunks and carries the memory, so that its predictions equal
    those in validation. A model without memory sees the latest `seq_len` tokens.
    """

    def __init__(self, model: NextTokenModel) -> None:
        self._model = model
        self._chunk: list[int] = []
        self._memory: Any = None

    def read(self, token: int) -> None:
        """Add a token to the text."""
        if len(self._chunk) == self._model.seq_len:
            if self._model.window is None:
                _, self._memory = self._read_chunk()
                self._chunk = []
            else:
                self._chunk = self._chunk[1:]
        self._chunk.append(token)

    def predict(self) -> Tensor:
        """Return the logits of the next token, shape [V], float64 on the CPU."""
        hidden_BTD, _ = self._read_chunk()
        return self._model.logits(hidden_BTD[0, -1]).cpu().double()

    def _read_chunk(self) -> tuple[Tensor, Any]:
        tokens_BT = torch.tensor([self._chunk], device=self._model.device)
        return self._model.read(tokens_BT, self._memory)


def choose_token(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Return the next token."""
    if sampling.temperature == 0.0:
        return int(logits_V.argmax())
    # Subtract the maximum first, so that a small temperature cannot overflow.
    weights_V = ((logits_V - logits_V.max()) / sampling.temperature).softmax(dim=0)
    if sampling.top_p < 1.0:
        sorted_V, order_V = weights_V.sort(descending=True, stable=True)
        is_dropped_V = sorted_V.cumsum(dim=0) - sorted_V >= sampling.top_p
        weights_V[order_V[is_dropped_V]] = 0.0
    return int(torch.multinomial(weights_V, 1, generator=generator))
