"""Several statements with one error probability."""

from collections.abc import Callable

Crosses = Callable[[float], bool]
"""Whether a statement is shown at an error probability of its own."""


def holm(statements: list[Crosses], alpha: float) -> list[bool]:
    """Return which statements are shown, by the step-down method of Holm.

    A statement is first tested at alpha over their number; each one shown leaves its share to the
    others. With looks at growing samples, every statement keeps its own spending function.

    Sources: Holm, Scand. J. Statist. 6 (1979); with looks: Maurer and Bretz, Stat. Biopharm. Res. 5
    (2013).

    Args:
        statements: Each tells whether it is shown at a given error probability, as if alone.
        alpha: Probability of showing any false statement.
    """
    shown = [False] * len(statements)
    while not all(shown):
        share = alpha / shown.count(False)
        new = [n for n, crosses in enumerate(statements) if not shown[n] and crosses(share)]
        if not new:
            break
        for number in new:
            shown[number] = True
    return shown
