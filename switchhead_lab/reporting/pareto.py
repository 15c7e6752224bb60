"""The Pareto front of two quantities, lower is better for both."""

from collections.abc import Iterable


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other point beats in one quantity without losing in the other.

    Args:
        points: Pairs of cost and loss; equal pairs count once.

    Returns:
        The front in ascending order of cost and strictly descending order of loss.
    """
    front: list[tuple[float, float]] = []
    for cost, loss in sorted(set(points)):
        if not front or loss < front[-1][1]:
            front.append((cost, loss))
    return front
