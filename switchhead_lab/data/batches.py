"""Batches of running text, as a pure function of the step.

Shape letters: B batch, T positions of a chunk.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from switchhead_lab.errors import DataError

IGNORE = -100
"""Target that the loss ignores."""

PADDING = 0
"""Token that pads examples shorter than their batch; running text has no padding."""


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of a step, in B rows.

    Row r continues row r of the previous batch, unless `starts_stream` is true; then any memory of
    earlier chunks must be dropped.

    Attributes:
        inputs_BT: Tokens, shape [B, T].
        targets: Tokens to predict, shape [B, T], or one class for each row, shape [B].
        starts_stream: Whether the rows start new streams.
    """

    inputs_BT: NDArray[np.int64]
    targets: NDArray[np.int64]
    starts_stream: bool

    @property
    def n_targets(self) -> int:
        """Number of targets that are not `IGNORE`."""
        return int((self.targets != IGNORE).sum())


@dataclass(frozen=True)
class TokenBatches:
    """Endless batches of running text for training; the step alone is needed to resume.

    In an epoch the text, shifted cyclically, is cut into `batch_size` streams of equal length, each
    read in chunks of `seq_len`. Every epoch shifts by another amount, drawn from seed and epoch,
    so that chunk borders and dropped tokens differ.

    Args:
        tokens: Shape [n_tokens], any integer dtype.
        batch_size: Streams (B).
        seq_len: Positions of a chunk (T).
        seed: Seed of the shifts.

    Raises:
        DataError: If the tokens do not fill one batch.
    """

    tokens: NDArray[np.integer]
    batch_size: int
    seq_len: int
    seed: int

    def __post_init__(self) -> None:
        if self.steps_per_epoch < 1:
            needed = self.batch_size * self.seq_len + 1
            raise DataError(
                f"the training split has {len(self.tokens)} tokens, but one batch of "
                f"batch_size={self.batch_size} and seq_len={self.seq_len} needs {needed}; "
                "use a larger corpus or a smaller batch_size or seq_len"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every target occurs at most once."""
        return (len(self.tokens) - 1) // (self.batch_size * self.seq_len)

    def at(self, step: int) -> Batch:
        """Return the batch of a step.

        Args:
            step: Optimiser step, from 0.

        Returns:
            Inputs and targets of shape [B, T]; `starts_stream` at the first step of each epoch.
        """
        epoch, chunk = divmod(step, self.steps_per_epoch)
        n_tokens = len(self.tokens)
        row_starts = np.arange(self.batch_size) * (self.steps_per_epoch * self.seq_len)
        starts = _shift(self.seed, epoch, n_tokens) + row_starts + chunk * self.seq_len
        # The text is read as a ring: its last token ends a document, its first one begins one.
        positions = (starts[:, None] + np.arange(self.seq_len + 1)) % n_tokens
        window = self.tokens[positions].astype(np.int64)
        return Batch(window[:, :-1], window[:, 1:], starts_stream=chunk == 0)


def evaluation_token_batches(
    tokens: NDArray[np.integer], batch_size: int, seq_len: int
) -> Iterator[Batch]:
    """Yield batches in which every token but the first is a target exactly once.

    The text is cut into at most `batch_size` streams of equal length, read in chunks of `seq_len`;
    the last chunk may be shorter. The end of the last row is padded: input 0, target `IGNORE`.

    Args:
        tokens: Shape [n_tokens], any integer dtype, at least two tokens.
        batch_size: Largest number of rows (B).
        seq_len: Positions of a chunk (T).

    Raises:
        DataError: If there is no target.
    """
    n_targets = len(tokens) - 1
    if n_targets < 1:
        raise DataError(f"cannot evaluate on {len(tokens)} tokens; use a larger corpus")
    row_len = -(-n_targets // min(batch_size, n_targets))
    n_rows = -(-n_targets // row_len)
    row_starts = np.arange(n_rows)[:, None] * row_len
    for start in range(0, row_len, seq_len):
        positions = row_starts + np.arange(start, min(start + seq_len, row_len))
        within = positions < n_targets
        read = np.where(within, positions, 0)
        yield Batch(
            # int64 before IGNORE: a negative number does not fit the tokens' own type.
            inputs_BT=np.where(within, tokens[read].astype(np.int64), 0),
            targets=np.where(within, tokens[read + 1].astype(np.int64), IGNORE),
            starts_stream=start == 0,
        )


def _shift(seed: int, epoch: int, n_tokens: int) -> int:
    # A hash rather than a generator: its values cannot change with a library's version.
    digest = hashlib.sha256(f"{seed}:{epoch}".encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") % n_tokens
