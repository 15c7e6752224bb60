"""Batches of labelled examples, as a pure function of the step.

Shape letters: B batch, T positions of a padded example.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from switchhead_lab.data.batches import Batch
from switchhead_lab.errors import DataError


@dataclass(frozen=True)
class LabelledExamples:
    """Examples of one split.

    Attributes:
        tokens: Shape [n_examples, max_length], uint8; padding is 0.
        labels: Shape [n_examples], uint8.
    """

    tokens: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: NDArray[np.int64] | slice, seq_len: int) -> Batch:
        """Return a batch of examples, zero-padded.

        Args:
            rows: Indices of the examples (B of them).
            seq_len: Positions (T).

        Raises:
            DataError: If the examples are longer than `seq_len`.
        """
        max_length = self.tokens.shape[1]
        if seq_len < max_length:
            raise DataError(
                f"examples have up to {max_length} tokens but seq_len={seq_len}; use a seq_len "
                f"of at least {max_length} or shorter examples"
            )
        tokens = self.tokens[rows].astype(np.int64)
        return Batch(
            inputs_BT=np.pad(tokens, ((0, 0), (0, seq_len - max_length))),
            targets=self.labels[rows].astype(np.int64),
            starts_stream=True,
        )


@dataclass(frozen=True)
class ExampleBatches:
    """Endless batches of shuffled examples for training; the step alone is needed to resume.

    Every epoch has its own order, drawn from seed and epoch. Examples at its end that do not fill a
    batch are dropped, different ones in each epoch.

    Args:
        examples: The training split.
        batch_size: Examples per batch (B).
        seq_len: Positions (T), at least the length of the longest example.
        seed: Seed of the orders.

    Raises:
        DataError: If the examples do not fill one batch.
    """

    examples: LabelledExamples
    batch_size: int
    seq_len: int
    seed: int

    def __post_init__(self) -> None:
        if self.steps_per_epoch < 1:
            raise DataError(
                f"the training split has {len(self.examples)} examples, fewer than "
                f"batch_size={self.batch_size}; use a larger n_train or a smaller batch_size"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every example occurs at most once."""
        return len(self.examples) // self.batch_size

    def at(self, step: int) -> Batch:
        """Return the batch of a step.

        Args:
            step: Optimiser step, from 0.

        Returns:
            Inputs of shape [B, T] and classes of shape [B].
        """
        epoch, number = divmod(step, self.steps_per_epoch)
        order = _order(self.seed, epoch, len(self.examples))
        start = number * self.batch_size
        return self.examples.batch(order[start : start + self.batch_size], self.seq_len)


def evaluation_example_batches(
    examples: LabelledExamples, batch_size: int, seq_len: int
) -> Iterator[Batch]:
    """Yield batches in which every example occurs exactly once; the last may have fewer rows.

    Args:
        examples: A split.
        batch_size: Largest number of rows (B).
        seq_len: Positions (T), at least the length of the longest example.
    """
    for start in range(0, len(examples), batch_size):
        yield examples.batch(slice(start, start + batch_size), seq_len)


# All steps of an epoch share its order: the cache saves a sort per step.
@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n_examples: int) -> NDArray[np.int64]:
    """Return a permutation of the examples, shape [n_examples]."""
    # A hash rather than a generator: its values cannot change with a library's version.
    digest = hashlib.sha256(f"{seed}:{epoch}".encode("ascii")).digest()
    key = np.frombuffer(digest[:8], dtype=">u8").astype(np.uint64)
    order = np.argsort(_splitmix64(np.arange(n_examples, dtype=np.uint64), key))
    order.flags.writeable = False
    return order


def _splitmix64(index: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a distinct, well-mixed number for each index.

    Source: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), with state key + index * gamma.
    Every operation is invertible modulo 2**64, so there are no ties for a sort to break.
    """
    mixed = key + index * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
