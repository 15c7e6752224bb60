"""Places text labels around points without covering anything."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_N_DIRECTIONS = 16
_RINGS = (1.0, 1.6, 2.4, 3.6, 5.0, 7.0, 9.5)
_N_LINE_PIECES = 12
# Margin around a label in pixels.
_PADDING = 2.0
# Relative costs of a pixel outside the axes, over another label, over a point or line, and of a
# pixel of distance.
_OUTSIDE_PENALTY = 50.0
_LABEL_PENALTY = 20.0
_OBSTACLE_PENALTY = 4.0
_DISTANCE_PENALTY = 3.0


@dataclass(frozen=True)
class Box:
    """An axis-aligned rectangle, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the rectangle."""
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2

    def overlap(self, other: "Box") -> float:
        """Return the area covered by both."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    def padded(self, width: float) -> "Box":
        """Return the rectangle with a margin on every side."""
        return Box(self.left - width, self.bottom - width, self.right + width, self.top + width)

    def area_outside(self, frame: "Box") -> float:
        """Return the area not inside `frame`."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(frame)

    def distance_to(self, x: float, y: float) -> float:
        """Return the distance from a point to the rectangle, 0 inside."""
        across = max(self.left - x, 0.0, x - self.right)
        along = max(self.bottom - y, 0.0, y - self.top)
        return math.hypot(across, along)


def line_box(start: tuple[float, float], end: tuple[float, float], half_width: float) -> Box:
    """Return the rectangle around a horizontal or vertical line."""
    return Box(
        min(start[0], end[0]) - half_width,
        min(start[1], end[1]) - half_width,
        max(start[0], end[0]) + half_width,
        max(start[1], end[1]) + half_width,
    )


def place_labels(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    frame: Box,
    gap: float,
) -> list[Box]:
    """Choose a rectangle for each label, one after the other.

    Args:
        anchors: Points to label, in pixels.
        sizes: Width and height of each label.
        obstacles: Rectangles that labels should not cover.
        frame: Rectangle that labels should stay in.
        gap: Smallest distance between a label and its point.

    Returns:
        One rectangle per label, in the order of `anchors`.
    """
    placed: list[Box] = []
    lines: list[Box] = []
    for anchor, size in zip(anchors, sizes, strict=True):
        # Ties go to the earlier choice: the nearest, then the one to the right.
        choices = _choices(anchor, size, gap)
        # Only what a choice can touch, of thousands of candidates.
        reach = _bounds(choices).padded(_PADDING)
        near = [box for box in obstacles if box.overlap(reach) > 0]
        chosen = _cheapest(choices, anchor, (near, placed, lines), frame)
        placed.append(chosen)
        lines += _line_to(chosen, anchor)
    return placed


def _choices(anchor: tuple[float, float], size: tuple[float, float], gap: float) -> list[Box]:
    half_width, half_height = size[0] / 2, size[1] / 2
    boxes = []
    for ring in _RINGS:
        for number in range(_N_DIRECTIONS):
            angle = 2 * math.pi * number / _N_DIRECTIONS
            x = anchor[0] + math.cos(angle) * (ring * gap + half_width)
            y = anchor[1] + math.sin(angle) * (ring * gap + half_height)
            boxes.append(Box(x - half_width, y - half_height, x + half_width, y + half_height))
    return boxes


def _bounds(boxes: Sequence[Box]) -> Box:
    """Return the smallest rectangle around rectangles."""
    return Box(
        min(box.left for box in boxes),
        min(box.bottom for box in boxes),
        max(box.right for box in boxes),
        max(box.top for box in boxes),
    )


def _cheapest(
    choices: Sequence[Box],
    anchor: tuple[float, float],
    taken: tuple[Sequence[Box], Sequence[Box], Sequence[Box]],
    frame: Box,
) -> Box:
    """Return the first of the cheapest choices; those too far or outside need no full cost."""
    chosen, lowest = choices[0], math.inf
    for box in choices:
        if _least_cost(box, anchor, frame) < lowest:
            cost = _cost(box, anchor, taken, frame)
            if cost < lowest:
                chosen, lowest = box, cost
    return chosen


def _least_cost(box: Box, anchor: tuple[float, float], frame: Box) -> float:
    """Return the cost of a choice that covers nothing."""
    return _OUTSIDE_PENALTY * box.area_outside(frame) + _DISTANCE_PENALTY * box.distance_to(*anchor)


def _cost(
    box: Box,
    anchor: tuple[float, float],
    taken: tuple[Sequence[Box], Sequence[Box], Sequence[Box]],
    frame: Box,
) -> float:
    """Return the cost of a choice: covered area, label crossings of its line, and distance."""
    obstacles, labels, lines = taken
    padded = box.padded(_PADDING)
    covered = sum(padded.overlap(other) for other in (*obstacles, *lines))
    covered_labels = sum(padded.overlap(other) for other in labels)
    # Only labels that the line can touch.
    reach = _bounds((box, Box(*anchor, *anchor))).padded(_PADDING)
    near = [other for other in labels if other.overlap(reach) > 0]
    pieces = _line_to(box, anchor) if near else []
    crossed = sum(piece.overlap(other) for piece in pieces for other in near)
    return (
        _OBSTACLE_PENALTY * covered
        + _LABEL_PENALTY * (covered_labels + crossed)
        + _least_cost(box, anchor, frame)
    )


def _line_to(box: Box, anchor: tuple[float, float]) -> list[Box]:
    """Return small squares along the line from a label to its point, outside the label."""
    pieces = []
    for number in range(1, _N_LINE_PIECES):
        share = number / _N_LINE_PIECES
        x = anchor[0] + share * (box.centre[0] - anchor[0])
        y = anchor[1] + share * (box.centre[1] - anchor[1])
        if box.distance_to(x, y) > 0:
            pieces.append(Box(x, y, x, y).padded(_PADDING))
    return pieces
