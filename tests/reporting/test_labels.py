import itertools

import pytest

from switchhead_lab.reporting.labels import Box, line_box, place_labels

FRAME = Box(0, 0, 600, 400)


def test_overlap_is_the_shared_area():
    assert Box(0, 0, 4, 4).overlap(Box(2, 3, 9, 9)) == 2
    assert Box(0, 0, 1, 1).overlap(Box(1, 0, 2, 1)) == 0


def test_distance_is_zero_inside_and_euclidean_outside():
    box = Box(0, 0, 2, 2)
    assert box.distance_to(1, 1) == 0
    assert box.distance_to(5, 6) == 5


def test_area_outside():
    assert Box(-1, 0, 1, 2).area_outside(FRAME) == 2


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_labels_cover_neither_each_other_nor_points(n):
    anchors = [(200 + 25.0 * (i % 4), 200 + 18.0 * (i // 4)) for i in range(n)]
    obstacles = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in anchors]
    boxes = place_labels(anchors, [(70, 14)] * n, obstacles, FRAME, gap=10)
    for one, other in itertools.combinations(boxes, 2):
        assert one.overlap(other) == 0
    assert all(box.overlap(obstacle) == 0 for box in boxes for obstacle in obstacles)
    assert all(box.area_outside(FRAME) == 0 for box in boxes)


def test_label_at_the_right_edge_stays_inside():
    (box,) = place_labels([(595, 200)], [(80, 14)], [], FRAME, gap=10)
    assert box.right <= FRAME.right


def test_label_avoids_a_line():
    line = line_box((300, 200), (600, 200), 2)
    (box,) = place_labels([(300, 200)], [(80, 14)], [line], FRAME, gap=10)
    assert box.overlap(line) == 0
