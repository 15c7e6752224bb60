import random

import pytest

from switchhead_lab.reporting.pareto import pareto_front


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1, 1)], [(1, 1)]),
        ([(2, 1), (1, 2)], [(1, 2), (2, 1)]),
        ([(1, 1), (2, 1)], [(1, 1)]),
        ([(1, 2), (1, 1)], [(1, 1)]),
        ([(1, 1), (1, 1)], [(1, 1)]),
        ([(3, 3), (1, 5), (2, 4), (2, 6), (4, 3.5)], [(1, 5), (2, 4), (3, 3)]),
    ],
)
def test_front_of_known_points(points, front):
    assert pareto_front(points) == front


def test_front_holds_exactly_the_points_nothing_dominates():
    generator = random.Random(0)
    points = [(generator.randrange(20), generator.randrange(20)) for _ in range(80)]

    def dominates(a, b):
        return a != b and a[0] <= b[0] and a[1] <= b[1]

    expected = {p for p in points if not any(dominates(q, p) for q in points)}
    assert set(pareto_front(points)) == expected
