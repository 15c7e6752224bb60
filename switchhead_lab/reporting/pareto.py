"""Pareto fronts and sets of quantities that are all better when smaller."""

from collections.abc import Iterable, Mapping, Sequence


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other point beats in one quantity without losing in the other.

    Args:
        points: Pairs of cost and loss; equal pairs count once.

    Returns:
        The front by rising cost, so its losses fall strictly.
    """
    front: list[tuple[float, float]] = []
    for cost, loss in sorted(set(points)):
        if not front or loss < front[-1][1]:
            front.append((cost, loss))
    return front


def pareto_numbers(losses: Mapping[int, Sequence[float]]) -> set[int]:
    """Return the numbers of the entries that no other entry dominates.

    Args:
        losses: Values of each entry, all better when smaller. One entry dominates another if it is
            nowhere worse and somewhere better, so equal entries stay together.
    """

    def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)

    return {
        number
        for number, values in losses.items()
        if not any(dominates(other, values) for other in losses.values())
    }
