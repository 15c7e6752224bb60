"""Labelled examples in memory, and their random division into splits."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from switchhead_lab.data.documents import SPLITS, Split

Draw = Callable[[], float]
"""Source of random numbers in [0, 1). Python guarantees that random() of a seed is the same in all
versions, but no other method; NumPy's generators guarantee nothing of the kind."""


class Example(NamedTuple):
    """A sequence and its class.

    Attributes:
        tokens: One byte per token, without padding.
        value: Its class, from 0.
    """

    tokens: bytes
    value: int


def split_randomly(
    examples: Sequence[Example], sizes: Mapping[Split, int], draw: Draw
) -> dict[Split, list[Example]]:
    """Split examples at random, each into at most one split.

    Args:
        examples: At least the sum of `sizes`.
        sizes: Examples of each split.
        draw: Source of randomness, one draw for each example.
    """
    keys = [draw() for _ in examples]
    shuffled = iter(sorted(range(len(examples)), key=keys.__getitem__))
    return {split: [examples[next(shuffled)] for _ in range(sizes[split])] for split in SPLITS}
