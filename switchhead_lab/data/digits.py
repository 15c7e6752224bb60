"""scikit-learn's handwritten digits as sequences of pixels, row by row.

Source: the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI,
1998), which scikit-learn ships: 1,797 images of 8x8 pixels with 17 grey values, 0 being white.
"""

from collections.abc import Sequence
from random import Random

from switchhead_lab.config.data import DigitsData
from switchhead_lab.data.batches import PADDING
from switchhead_lab.data.documents import Split
from switchhead_lab.data.labelled import Example, split_randomly

FIRST_GREY = PADDING + 1
"""Token of a white pixel; darker ones follow."""

_WIDTH = 8
_INK = " ..::--==++**##@@"


def generate_splits(data: DigitsData) -> dict[Split, list[Example]]:
    """Split the images at random, by the seed.

    Args:
        data: Number of images per split, and the seed.
    """
    # Deferred: importing it takes a second.
    from sklearn.datasets import load_digits

    loaded = load_digits()
    examples = [
        Example(bytes(FIRST_GREY + int(grey) for grey in image), int(digit))
        for image, digit in zip(loaded.data, loaded.target, strict=True)
    ]
    return split_randomly(examples, data.split_sizes(), Random(f"digits:{data.seed}").random)


def render_example(tokens: Sequence[int], data: DigitsData) -> str:
    """Format an image as characters, one line per row of pixels."""
    del data
    ink = "".join(_INK[token - FIRST_GREY] for token in tokens)
    rows = (ink[start : start + _WIDTH] for start in range(0, len(ink), _WIDTH))
    return "".join(f"\n      {row.rstrip()}" for row in rows)
