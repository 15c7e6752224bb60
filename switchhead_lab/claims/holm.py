"""Several statements with one error probability."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Crosses = Callable[[float], bool]
"""Whether a statement is shown at an error probability of its own."""


@dataclass(frozen=True)
class Decision:
    """What became of one statement.

    Attributes:
        is_shown: Whether it is shown.
        share: Error probability at which it was, or was last tried.
    """

    is_shown: bool
    share: float


def holm(statements: Sequence[Crosses], alpha: float) -> list[Decision]:
    """Decide which statements are shown, by the step-down method of Holm.

    A statement is first tested at alpha over their number; each one shown leaves its share to the
    others. With looks at growing samples, every statement keeps its own spending function.

    Sources: Holm, Scand. J. Statist. 6 (1979); with looks: Maurer and Bretz, Stat. Biopharm. Res. 5
    (2013).

    Args:
        statements: Each tells whether it is shown at a given error probability, as if alone.
        alpha: Probability of showing any false statement.
    """
    decisions: dict[int, Decision] = {}
    while len(decisions) < len(statements):
        share = alpha / (len(statements) - len(decisions))
        open_numbers = [n for n in range(len(statements)) if n not in decisions]
        shown = [n for n in open_numbers if statements[n](share)]
        decisions |= {n: Decision(True, share) for n in shown}
        if not shown:
            decisions |= {n: Decision(False, share) for n in open_numbers}
    return [decisions[n] for n in range(len(statements))]
