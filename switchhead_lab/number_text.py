"""Short formats for counts, durations and times."""

from datetime import datetime

NOTHING = "-"
"""Shown for a missing value."""


_UNITS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def short_count(count: float) -> str:
    """Format a count like the paper, with four significant digits and a unit: 170.4M, 2.358G."""
    for factor, unit in _UNITS:
        if float(f"{count / factor:.4g}") >= 1:  # 999,960 is 1.000M, not 1000k
            return f"{count / factor:#.4g}{unit}"
    return f"{count:.4g}"


def round_count(count: float) -> str:
    """Format a round number with as few digits as it has, for ticks: 0, 500k, 5G, 12.5T."""
    for factor, unit in _UNITS:
        if count >= factor:
            return f"{count / factor:g}{unit}"
    return f"{count:g}"


def short_time(seconds: float | None) -> str:
    """Format a duration: 45 s, 12 min, 3.2 h, 18 d, 2.7 y; "?" if unknown."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    if hours < 72:
        return f"{hours:.1f} h"
    days = hours / 24
    return f"{days:.0f} d" if days < 700 else f"{days / 365:.1f} y"


def short_hours(hours: float | None) -> str:
    """Format hours without a unit: <0.01, 0.25, 3.2, 412, 43.1k; "?" if unknown."""
    if hours is None:
        return "?"
    for factor, unit in ((1e6, "M"), (1e3, "k"), (1.0, "")):
        if hours >= factor:
            n_decimals = 1 if hours < 100 * factor else 0
            return f"{hours / factor:.{n_decimals}f}{unit}"
    return "<0.01" if 0 < hours < 0.01 else f"{hours:.2f}"


def local_time(seconds: float) -> str:
    """Format a Unix time in the local time zone."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
