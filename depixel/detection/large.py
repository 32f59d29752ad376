"""Areas of large blocks that are exactly constant: rectangles of one value, side by side in a grid.

Within a block that is larger than the surroundings in which `exact` takes the contrast there is nothing to tell it from
a flat part of the photo; but no photo has rectangles of one value there.
"""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import find_objects, label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from depixel.areas.grid import MOST_BLOCK
from depixel.detection.boxes import Box, Candidate

LEAST = 24
"""Pixels a side: of smaller blocks, `exact` finds more."""

_TOUCH = 4  # pixels that two rectangles of an area share a border along, at least


def find(gray: np.ndarray, differ: Callable[[Box], bool], check: Callable[[], None]) -> list[Candidate]:
    """The areas of a picture (H, W) float32. differ: whether the blocks of one differ, as they do in certain ones."""
    rectangles = _rectangles(gray)
    found = []
    for members in _touching(rectangles, gray.shape):
        check()
        x0, y0 = rectangles[members, :2].min(axis=0)
        x1, y1 = rectangles[members, 2:].max(axis=0)
        grid = _grid(gray[y0:y1, x0:x1])
        if grid is None:
            continue
        box = _extended(gray, Box(int(x0), int(y0), int(x1), int(y1), *grid)).plain()
        lines = box.lines()
        if LEAST <= box.size <= MOST_BLOCK and any(map(len, lines)):
            several = sum(map(len, lines)) >= 2 and all(len(at) >= 2 for at in box.odd())
            found.append(Candidate(float(box.pixels), box, several and differ(box)))
    return found


def _rectangles(gray: np.ndarray) -> np.ndarray:
    """(N, 4): x0, y0, x1, y1 of the largest rectangles of one value, `LEAST` pixels a side and more."""
    same = (gray[1:, 1:] == gray[:-1, 1:]) & (gray[1:, 1:] == gray[1:, :-1]) & (gray[1:, 1:] == gray[:-1, :-1])
    labels, _ = label(same)
    found = []
    for number, (rows, columns) in enumerate(find_objects(labels), 1):
        sides = rows.stop - rows.start, columns.stop - columns.start
        if min(sides) >= LEAST - 1 and (labels[rows, columns] == number).all():
            found.append((columns.start, rows.start, columns.stop + 1, rows.stop + 1))
    return np.array(found, np.int64).reshape(-1, 4)


def _touching(rectangles: np.ndarray, shape: tuple[int, int]) -> list[np.ndarray]:
    """The numbers of rectangles that border on each other, two and more together."""
    count = len(rectangles)
    owner = np.full(shape, -1, np.int32)
    for number, (x0, y0, x1, y1) in enumerate(rectangles):
        owner[y0:y1, x0:x1] = number
    pairs = []
    for one, other in ((owner[:, :-1], owner[:, 1:]), (owner[:-1], owner[1:])):
        meet = (one != other) & (one >= 0) & (other >= 0)
        pair, along = np.unique(one[meet].astype(np.int64) * count + other[meet], return_counts=True)
        pairs.append(pair[along >= _TOUCH])
    first, second = np.divmod(np.concatenate(pairs), max(count, 1))
    beside = coo_array((np.ones(len(first), bool), (first, second)), (count, count))
    _, group = connected_components(beside, directed=False)
    order = np.argsort(group, kind="stable")
    ends = np.flatnonzero(np.diff(group[order])) + 1
    return [members for members in np.split(order, ends) if len(members) > 1]


def _grid(area: np.ndarray) -> tuple[int, int, int] | None:
    """Size, offset_x and offset_y of blocks that are constant all over the area; None if there are none."""
    x, y = (np.flatnonzero((np.diff(area, axis=1 - axis) != 0).any(axis=axis)) + 1 for axis in (0, 1))
    between = int(np.gcd.reduce(np.append(np.diff(x), np.diff(y)), initial=0))
    first = int(np.gcd.reduce(np.append(x[:1], y[:1]), initial=0))
    # one line along each axis says no distance: then blocks are taken to begin at the corner
    size = between or first
    if size < LEAST:
        return None
    return size, int(-x[0] % size) if x.size else 0, int(-y[0] % size) if y.size else 0


def _extended(gray: np.ndarray, box: Box) -> Box:
    """With the rows and columns beside it that go on with the grid: blocks that are cut off there."""
    for _ in range(4):  # a row may follow a column
        before = box
        box = _widened(gray, box)
        turned = Box(box.y0, box.x0, box.y1, box.x1, box.size, box.offset_y, box.offset_x)
        turned = _widened(gray.T, turned)
        box = Box(turned.y0, turned.x0, turned.y1, turned.x1, box.size, turned.offset_y, turned.offset_x)
        if box == before:
            break
    return box


def _widened(gray: np.ndarray, box: Box) -> Box:
    """To the left and to the right."""
    rows = slice(box.y0, box.y1)
    within = np.ones(box.y1 - box.y0 - 1, bool)  # steps down a column that must be none
    within[box.lines()[1] - box.y0 - 1] = False
    x0, x1, offset_x = box.x0, box.x1, box.offset_x

    def goes_on(column: int, neighbour: int, is_line: bool) -> bool:
        values = gray[rows, column]
        return not np.diff(values)[within].any() and (is_line or bool((values == gray[rows, neighbour]).all()))

    while x1 < gray.shape[1] and goes_on(x1, x1 - 1, (x1 - x0 + offset_x) % box.size == 0):
        x1 += 1
    while x0 > 0 and goes_on(x0 - 1, x0, offset_x == 0):
        x0, offset_x = x0 - 1, (offset_x - 1) % box.size
    return box._replace(x0=x0, x1=x1, offset_x=offset_x)
