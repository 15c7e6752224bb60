"""Log-likelihoods of token sequences, in batches whose makeup does not change the results.

Letters: B sequences of a batch, T chunk positions, N scored positions, D width, V vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from switchhead_lab.trained.next_token_model import NextTokenModel

_TOKENS_PER_BATCH = 4096
_PREFIXES_PER_BATCH = 16
_POSITIONS_AT_ONCE = 512

Report = Callable[[int, int], None]


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
    """Tokens that the model reads from the start of its memory.

    Attributes:
        number: Which scoring it belongs to.
        prefix: Whole chunks before the one where scoring begins; pieces may share them.
        inputs: Tokens to read after the prefix.
        targets: The token after each of them.
        first: Position among them of the first scored target.
    """

    number: int
    prefix: tuple[int, ...]
    inputs: Sequence[int]
    targets: Sequence[int]
    first: int


def score_sequences(
    model: NextTokenModel,
    scorings: Sequence[Scoring],
    batch_size: int | None = None,
    report: Report | None = None,
) -> list[Likelihood]:
    """Return the likelihood of each continuation, in order.

    A model with memory reads a sequence from its first token, chunk by chunk, as in training; equal
    beginnings are read once. A model that sees a window of tokens gets the last ones before each
    prediction that fit beside the continuation; longer continuations are read in parts.

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
    for group, memory, rows in _by_prefix(model, pieces):
        for batch in _batches(group, model.seq_len, batch_size):
            start = None if memory is None else model.take(memory, [rows[p.prefix] for p in batch])
            for piece, (found, is_greedy) in zip(batch, _score(model, batch, start), strict=True):
                nats[piece.number] += found
                greedy[piece.number] &= is_greedy
            n_done += len(batch)
            if report is not None:
                report(n_done, len(pieces))
    return [Likelihood(*found) for found in zip(nats, greedy, strict=True)]


def _pieces(number: int, scoring: Scoring, model: NextTokenModel) -> Iterator[_Piece]:
    tokens, first = scoring.tokens, scoring.n_context - 1
    inputs, targets = tokens[:-1], tokens[1:]
    if first >= len(inputs):  # an empty continuation
        return
    window = model.window
    if window is None or len(inputs) <= window:
        yield _piece(number, inputs, targets, first, model.seq_len)
        return
    for begin in range(first, len(inputs), window):
        end = min(begin + window, len(inputs))
        start = max(0, end - window)
        yield _piece(number, inputs[start:end], targets[start:end], begin - start, model.seq_len)


def _piece(
    number: int, inputs: Sequence[int], targets: Sequence[int], first: int, seq_len: int
) -> _Piece:
    cut = first // seq_len * seq_len
    return _Piece(number, tuple(inputs[:cut]), inputs[cut:], targets[cut:], first - cut)


def _by_prefix(
    model: NextTokenModel, pieces: Sequence[_Piece]
) -> Iterator[tuple[list[_Piece], Any, dict[tuple[int, ...], int]]]:
    """Yield pieces with the memory after their prefixes, and the row of each prefix in it.

    Pieces without prefix come first, without memory.
    """
    by_prefix: dict[tuple[int, ...], list[_Piece]] = {}
    for piece in pieces:
        by_prefix.setdefault(piece.prefix, []).append(piece)
    if () in by_prefix:
        yield by_prefix.pop(()), None, {}
    # Prefixes of one length are read together; sorted stably, so that equal input repeats.
    ordered = sorted(by_prefix, key=len)
    for _, same_length in groupby(ordered, key=len):
        prefixes = list(same_length)
        for begin in range(0, len(prefixes), _PREFIXES_PER_BATCH):
            some = prefixes[begin : begin + _PREFIXES_PER_BATCH]
            rows = {prefix: row for row, prefix in enumerate(some)}
            group = [piece for prefix in some for piece in by_prefix[prefix]]
            yield group, _memory_after(model, some), rows


@torch.inference_mode()
def _memory_after(model: NextTokenModel, prefixes: Sequence[tuple[int, ...]]) -> Any:
    memory: Any = None
    tokens_BT = torch.tensor(prefixes, device=model.device)
    for chunk_BT in tokens_BT.split(model.seq_len, dim=1):
        _, memory = model.read(chunk_BT, memory)
    return memory


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
def _score(model: NextTokenModel, batch: Sequence[_Piece], memory: Any) -> list[tuple[float, bool]]:
    """Score the pieces of a batch, which are sorted by length, the longest first."""
    n = len(batch)
    nats, n_wrong = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.int64)
    lengths = [len(piece.inputs) for piece in batch]
    for begin in range(0, lengths[0], model.seq_len):
        n_active = sum(length > begin for length in lengths)
        if begin and n_active < n:
            memory = model.take(memory, range(n_active))
        end = min(begin + model.seq_len, lengths[0])
        active = batch[:n_active]
        tokens_BT = _padded([piece.inputs[begin:end] for piece in active], model.device)
        hidden_BTD, memory = model.read(tokens_BT, memory)
        rows_N, columns_N, targets_N = _scored(active, begin, end)
        if not len(rows_N):
            continue
        losses_N, is_wrong_N = _outcomes(
            model, hidden_BTD[rows_N, columns_N], targets_N.to(model.device)
        )
        nats.index_add_(0, rows_N, -losses_N)
        n_wrong.index_add_(0, rows_N, is_wrong_N)
    return list(zip(nats.tolist(), (n_wrong == 0).tolist(), strict=True))


def _outcomes(model: NextTokenModel, hidden_ND: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of each target in nats, and 1 where another token is likelier."""
    losses, wrong = [], []
    # The logits of all positions of a batch would not fit if the vocabulary is large.
    for hidden_MD, targets_M in zip(
        hidden_ND.split(_POSITIONS_AT_ONCE), targets_N.split(_POSITIONS_AT_ONCE), strict=True
    ):
        logits_MV = model.logits(hidden_MD).float()
        target_M = logits_MV.gather(1, targets_M[:, None])[:, 0]
        largest_M = logits_MV.amax(dim=1)
        is_wrong_M = target_M < largest_M
        # The first of several largest ones is the likeliest. It takes long to find, so only here.
        rest = (~is_wrong_M).nonzero()[:, 0]
        is_wrong_M[rest] = logits_MV[rest].argmax(dim=1) != targets_M[rest]
        wrong.append(is_wrong_M)
        # In place, since large allocations would take as long as the arithmetic.
        sums_M = logits_MV.sub_(largest_M[:, None]).exp_().sum(dim=1)
        losses.append(sums_M.log_() + largest_M - target_M)
    # Summed in float64, so that the order of batches does not show.
    return torch.cat(losses).double().cpu(), torch.cat(wrong).long().cpu()


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Return rows as a tensor [B, T], padded with token 0 at the end."""
    lengths = [len(row) for row in rows]
    padded_BT = np.zeros((len(rows), max(lengths)), dtype=np.int64)
    padded_BT[_between([0] * len(rows), lengths, max(lengths))] = _flat(rows)
    return torch.from_numpy(padded_BT).to(device)


def _scored(pieces: Sequence[_Piece], begin: int, end: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return row, column and target of every scored position in a chunk."""
    firsts = [max(piece.first, begin) for piece in pieces]
    lasts = [
        max(first, min(len(piece.inputs), end)) for first, piece in zip(firsts, pieces, strict=True)
    ]
    is_scored_BT = _between(
        [first - begin for first in firsts], [last - begin for last in lasts], end - begin
    )
    targets = _flat(
        piece.targets[first:last] for piece, first, last in zip(pieces, firsts, lasts, strict=True)
    )
    rows, columns = is_scored_BT.nonzero()
    return torch.from_numpy(rows), torch.from_numpy(columns), torch.from_numpy(targets)


def _between(firsts: Sequence[int], lasts: Sequence[int], width: int) -> NDArray[np.bool_]:
    """Return which columns are from the first up to the last of each row, shape [B, width]."""
    columns = np.arange(width)
    return (columns >= np.array(firsts)[:, None]) & (columns < np.array(lasts)[:, None])


def _flat(rows: Iterable[Sequence[int]]) -> NDArray[np.int64]:
    return np.fromiter(chain.from_iterable(rows), dtype=np.int64)
