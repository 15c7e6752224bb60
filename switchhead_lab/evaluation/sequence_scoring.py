"""Log-likelihoods of token sequences, in batches whose makeup does not change the results.

Letters: B sequences of a batch, T chunk positions, N scored positions, D width, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from switchhead_lab.trained.next_token_model import NextTokenModel


@dataclass(frozen=True)
class Scoring:
    """What to score: the tokens after a context.

    Attributes:
        tokens: Context and continuation; the first token is never predicted.
        n_context: Tokens of the context, at least 1.
    """

    tokens: Sequence[int]
    n_context: int


@dataclass(frozen=True)
class Likelihood:
    """Likelihood of a continuation.

    Attributes:
        nats: Its log-likelihood.
        is_greedy: Whether each of its tokens is the likeliest one.
    """

    nats: float
    is_greedy: bool


@dataclass(frozen=True)
class _Piece:
    """Tokens that the model reads from the start of its memory, and where scoring begins.

    Attributes:
        number: Which scoring it belongs to.
        inputs: Tokens to read.
        targets: The token after each.
        first: Position of the first scored target.
    """

    number: int
    inputs: Sequence[int]
    targets: Sequence[int]
    first: int


def score_sequences(
    model: NextTokenModel,
    scorings: Sequence[Scoring],
    batch_size: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> list[Likelihood]:
    """Return the likelihood of each continuation, in order.

    A model with memory reads a sequence from its first token, chunk by chunk, as in training. A
    model without sees the last `seq_len` tokens before each prediction that fit beside the
    continuation; longer continuations are read in parts of `seq_len` tokens.

    Sequences of similar length share a batch, padded at the end, where no prediction sees it.

    Args:
        model: The model, in evaluation mode.
        scorings: What to score.
        batch_size: Sequences that are read together; by default as many as have some 4,096 tokens.
        report: Called with the number of sequences scored so far and their total.
    """
    pieces = [
        piece
        for number, scoring in enumerate(scorings)
        for piece in _pieces(number, scoring, model)
    ]
    nats, greedy = [0.0] * len(scorings), [True] * len(scorings)
    n_done = 0
    for batch in _batches(pieces, model.seq_len, batch_size):
        for piece, (found, is_greedy) in zip(batch, _score(model, batch), strict=True):
            nats[piece.number] += found
            greedy[piece.number] &= is_greedy
        n_done += len(batch)
        if report is not None:
            report(n_done, len(pieces))
    return [Likelihood(*found) for found in zip(nats, greedy, strict=True)]


def _pieces(number: int, scoring: Scoring, model: NextTokenModel) -> Iterator[_Piece]:
    tokens, first, seq_len = scoring.tokens, scoring.n_context - 1, model.seq_len
    inputs, targets = tokens[:-1], tokens[1:]
    if first >= len(inputs):  # an empty continuation
        return
    if model.has_memory or len(inputs) <= seq_len:
        yield _Piece(number, inputs, targets, first)
        return
    for begin in range(first, len(inputs), seq_len):
        end = min(begin + seq_len, len(inputs))
        start = max(0, end - seq_len)
        yield _Piece(number, inputs[start:end], targets[start:end], begin - start)


_TOKENS_PER_BATCH = 4096


def _batches(
    pieces: Sequence[_Piece], seq_len: int, batch_size: int | None
) -> Iterator[list[_Piece]]:
    """Yield batches of similar lengths, the longest sequence of each first."""
    ordered = sorted(pieces, key=lambda piece: -len(piece.inputs))
    start = 0
    while start < len(ordered):
        longest = min(len(ordered[start].inputs), seq_len)
        size = batch_size or max(1, _TOKENS_PER_BATCH // longest)
        yield ordered[start : start + size]
        start += size


@torch.inference_mode()
def _score(model: NextTokenModel, batch: Sequence[_Piece]) -> list[tuple[float, bool]]:
    """Score the pieces of a batch, which are sorted by length, the longest first."""
    n = len(batch)
    nats, n_wrong = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.int64)
    memory: Any = None
    lengths = [len(piece.inputs) for piece in batch]
    for begin in range(0, lengths[0], model.seq_len):
        n_active = sum(length > begin for length in lengths)
        if begin:
            memory = model.keep(memory, n_active)
        end = min(begin + model.seq_len, lengths[0])
        active = batch[:n_active]
        hidden_BTD, memory = model.read(
            _padded([piece.inputs[begin:end] for piece in active], model.device), memory
        )
        rows, columns, targets = _scored(active, begin, end)
        if not rows:
            continue
        logits_NV = model.logits(hidden_BTD[rows, columns]).float()
        targets_N = torch.tensor(targets, device=model.device)
        # Summed in float64, so that the order of batches does not show.
        losses_N = F.cross_entropy(logits_NV, targets_N, reduction="none").double().cpu()
        wrong_N = (logits_NV.argmax(dim=1) != targets_N).long().cpu()
        index_N = torch.tensor(rows)
        nats.index_add_(0, index_N, -losses_N)
        n_wrong.index_add_(0, index_N, wrong_N)
    return list(zip(nats.tolist(), (n_wrong == 0).tolist(), strict=True))


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Return rows as a tensor [B, T], padded with token 0 at the end."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)


def _scored(
    pieces: Sequence[_Piece], begin: int, end: int
) -> tuple[list[int], list[int], list[int]]:
    """Return row, column and target of every scored position in a chunk."""
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    for row, piece in enumerate(pieces):
        first, last = max(piece.first, begin), min(len(piece.inputs), end)
        count = max(0, last - first)
        rows += [row] * count
        columns += range(first - begin, first - begin + count)
        targets += piece.targets[first : first + count]
    return rows, columns, targets
