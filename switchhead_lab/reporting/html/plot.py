"""Parts of inline SVG figures: ticks, text and numbers."""

import math

from markupsafe import Markup

_MOST_TICKS = 6


def ticks(low: float, high: float) -> list[float]:
    """Return round values within limits."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span))
    steps = (share * power for share in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0))
    step = next(step for step in steps if span / step <= _MOST_TICKS)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]


def draw_text(x: float, y: float, text: str, classes: str) -> Markup:
    """Return text at a pixel."""
    return Markup('<text x="{}" y="{}" class="{}">{}</text>').format(
        number_text(x), number_text(y), classes, text
    )


def number_text(value: float) -> str:
    """Return a pixel with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
