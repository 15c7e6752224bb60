"""Labelled examples as they are made, and how they are dealt to the splits."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from switchhead_lab.data.documents import SPLITS, Split

Draw = Callable[[], float]
"""Source of numbers in [0, 1). Python promises that random() of a seed stays the same in later
versions, and promises it of no other method, nor does NumPy of its generators."""


class Example(NamedTuple):
    """A sequence and its class.

    Attributes:
        tokens: One byte a token, without padding.
        value: Its class, from 0.
    """

    tokens: bytes
    value: int


def deal_to_splits(
    examples: Sequence[Example], sizes: Mapping[Split, int], draw: Draw
) -> dict[Split, list[Example]]:
    """Deal examples to the splits at random, each to at most one of them.

    Args:
        examples: At least as many as the splits hold together.
        sizes: Examples of each split.
        draw: Source of randomness, one draw for each example.
    """
    keys = [draw() for _ in examples]
    dealt = iter(sorted(range(len(examples)), key=keys.__getitem__))
    return {split: [examples[next(dealt)] for _ in range(sizes[split])] for split in SPLITS}
