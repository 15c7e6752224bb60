"""Small drawings of an estimate with its interval beside what a claim allows."""

import math
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 140, 22
_MIDDLE, _MARGIN = HEIGHT / 2, 6.0


@dataclass(frozen=True)
class Range:
    """An estimate and what is claimed of it.

    Attributes:
        estimate: The estimate.
        interval: Its interval; None without one.
        allowed: Lowest and highest value that the claim allows; infinite where it has no bound.
        neutral: Value of no difference: 0 for differences, 1 for ratios.
    """

    estimate: float
    interval: tuple[float, float] | None
    allowed: tuple[float, float]
    neutral: float


def draw_range(shown: Range) -> Markup:
    """Draw a range as SVG: what is allowed as a band, the interval as a line."""
    known = (*(shown.interval or ()), *shown.allowed, shown.estimate, shown.neutral)
    values = [value for value in known if math.isfinite(value)]
    low, high = min(values), max(values)
    room = 0.15 * ((high - low) or 1.0)
    low, high = low - room, high + room

    def x(value: float) -> float:
        share: float = (min(max(value, low), high) - low) / (high - low)
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    left, right = (x(bound) for bound in shown.allowed)
    parts = [
        Markup('<rect class="allowed" x="{}" y="3" width="{}" height="16"/>').format(
            left, round(max(right - left, 1.5), 1)
        ),
        Markup('<path class="neutral" d="M{} 2V20"/>').format(x(shown.neutral)),
    ]
    if shown.interval is not None:
        start, end = (x(value) for value in shown.interval)
        parts.append(
            Markup('<path class="interval" d="M{0} {2}H{1}M{0} 7V15M{1} 7V15"/>').format(
                start, end, _MIDDLE
            )
        )
    parts.append(
        Markup('<circle class="ink" cx="{}" cy="{}" r="3.5"/>').format(x(shown.estimate), _MIDDLE)
    )
    return Markup('<svg class="range" viewBox="0 0 {} {}" aria-hidden="true">{}</svg>').format(
        WIDTH, HEIGHT, Markup("").join(parts)
    )
