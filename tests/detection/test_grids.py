from fractions import Fraction

import numpy as np
import pytest

from depixel.areas.grid import begins
from depixel.detection.boxes import Box
from depixel.detection.grids import fitted, gains, parts
from depixel.detection.steps import Steps

BOX = Box(10, 12, 106, 84, 6, 0, 0)


def seen(x_lines: list[int], y_lines: list[int], box: Box = BOX, height: int = 100, width: int = 120) -> tuple:
    """Steps and a picture in which exactly these lines of a box are seen, counted from its corner."""
    inside, line = np.full((2, 2, height, width), -4.0, np.float32)
    gray = np.zeros((height, width), np.float32)
    part = np.s_[box.y0 : box.y1, box.x0 : box.x1]
    inside[(..., *part)] = 4.0
    for axis, lines, start in ((0, x_lines, box.x0), (1, y_lines, box.y0)):
        for at in lines:
            place = (part[0], start + at) if axis == 0 else (start + at, part[1])
            inside[(axis, *place)], line[(axis, *place)] = -4.0, 4.0
            step = np.arange(width) >= start + at if axis == 0 else (np.arange(height) >= start + at)[:, None]
            gray += 20 * step * (-1) ** (len(lines) + lines.index(at))
    return Steps.of((inside[0], line[0]), (inside[1], line[1]), 48, 30.0), gray


def lines(length: int, size, offset=0) -> list[int]:
    return begins(length, size, offset)[1:].tolist()


@pytest.mark.parametrize(
    ("width", "height"),
    [(8, 8), (12, 12), (24, 8), (8, 24), (6, 15), (Fraction(96, 13), Fraction(72, 7)), (16, Fraction(72, 5))],
)
def test_the_blocks_that_lines_show_are_found(width, height):
    rounding = [Fraction(1, 2) if size != int(size) else 0 for size in (width, height)]
    steps, gray = seen(lines(96, width, rounding[0]), lines(72, height, rounding[1]))
    _, box = fitted(*gains(steps, gray, BOX), BOX)
    assert (box.area.grid.width, box.area.grid.height) == (width, height)
    assert box[:4] == BOX[:4]
    assert parts(steps, gray, BOX) == [box]


def test_first_blocks_may_be_cut_off():
    steps, gray = seen(lines(96, 8, 3), lines(72, 8, 5))
    assert parts(steps, gray, BOX) == [BOX._replace(size=8, offset_x=3, offset_y=5)]


def test_lines_that_the_network_says_but_the_picture_does_not_show_do_not_count():
    steps, gray = seen(lines(96, 24), lines(72, 8))
    for x in lines(96, 8):
        steps.line[BOX.y0 : BOX.y1, BOX.x0 + x] = 6.0  # as it does of squares
    (box,) = parts(steps, gray, BOX)
    assert (box.area.grid.width, box.area.grid.height) == (24, 8)


def test_areas_side_by_side_are_told_apart():
    left, right = BOX._replace(x1=60), BOX._replace(x0=60)
    steps, gray = seen([*lines(50, 10), 50, *(50 + at for at in lines(46, 14))], [], BOX)
    turned, heights = steps.turned, np.zeros_like(gray)
    for box, size in ((left, 10), (right, 14)):
        for at in lines(72, size):
            turned.inside[box.x0 : box.x1, BOX.y0 + at], turned.line[box.x0 : box.x1, BOX.y0 + at] = -4.0, 4.0
            heights[BOX.y0 + at :, box.x0 : box.x1] += 20
    found = parts(steps, gray + heights, BOX)
    assert [(box.x0, box.x1, box.size) for box in found] == [(10, 60, 10), (60, 106, 14)]
