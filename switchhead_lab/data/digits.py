"""Handwritten digits of scikit-learn as sequences of pixels, read row by row.

Source: the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI,
1998), which scikit-learn ships: 1,797 images of 8x8 pixels with 17 grey values, 0 being white.
"""

from collections.abc import Sequence
from random import Random

from switchhead_lab.config.data import DigitsData
from switchhead_lab.data.batches import PADDING
from switchhead_lab.data.documents import Split
from switchhead_lab.data.labelled import Example, deal_to_splits

FIRST_GREY = PADDING + 1
"""Token of a white pixel; darker ones follow."""

_WIDTH = 8
_INK = " ..::--==++**##@@"


def generate_splits(data: DigitsData) -> dict[Split, list[Example]]:
    """Deal the images to the splits, in an order drawn from the seed.

    Args:
        data: Images of each split, and the seed.
    """
    # Deferred: importing it takes a second.
    from sklearn.datasets import load_digits

    loaded = load_digits()
    examples = [
        Example(bytes(FIRST_GREY + int(grey) for grey in image), int(digit))
        for image, digit in zip(loaded.data, loaded.target, strict=True)
    ]
    return deal_to_splits(examples, data.split_sizes(), Random(f"digits:{data.seed}").random)


def render_example(tokens: Sequence[int], data: DigitsData) -> str:
    """Draw an image in characters, each row of pixels on a line of its own."""
    del data
    ink = "".join(_INK[token - FIRST_GREY] for token in tokens)
    rows = (ink[start : start + _WIDTH] for start in range(0, len(ink), _WIDTH))
    return "".join(f"\n      {row.rstrip()}" for row in rows)
