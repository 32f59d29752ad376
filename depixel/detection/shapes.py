"""The extent and the shape of an area of constant blocks."""

from dataclasses import replace
from fractions import Fraction
from math import ceil

import numpy as np
from scipy.ndimage import binary_fill_holes, binary_opening, label

from depixel.areas.area import Area, ResolvedArea
from depixel.areas.grid import Grid, begins

DRAWN_OVER = 0.5
"""The least share of constant blocks in an area with something drawn over the other blocks."""

_WRONG = 0.05  # largest share of pixels in a row or column that may deviate from the blocks it continues


def extended(codes: np.ndarray, area: ResolvedArea) -> ResolvedArea:
    """Extend an area by the rows and columns beside it that continue its blocks, cut off or with mixed colors.

    Args:
        codes: (H, W) integers, a number for each color.
        area: the area.
    """
    for _ in range(4):  # a new column may allow a new row
        before = area
        area = turned(_widened(codes.T, turned(_widened(codes, area))))
        if area == before:
            break
    return area


def turned(area: ResolvedArea) -> ResolvedArea:
    """The same area of the transposed picture."""
    return Area(area.y, area.x, area.height, area.width).in_blocks(area.grid.turned)


def _widened(codes: np.ndarray, area: ResolvedArea) -> ResolvedArea:
    """Extend an area to the left and to the right."""
    rows = slice(area.y, area.y + area.height)
    tops = begins(area.height, area.grid.height, area.grid.offset_y)
    within = np.ones(area.height, bool)  # where a column must not step
    within[tops] = False
    tops = tops[1:]
    reach = int(area.grid.width) + 1

    def goes_on(column: int, inner: int | None) -> bool:
        """Whether a column continues the blocks; `inner`: its neighbour in the same block, None in a block's first."""
        values = codes[rows, column]
        wrong = np.append(False, np.diff(values) != 0) & within
        if inner is not None:
            wrong = wrong | (values != codes[rows, inner])
        return bool(wrong.mean() <= _WRONG)

    def strip(columns: range, line: bool) -> int:
        """The number of columns that continue the blocks. line: whether a block begins with the first."""
        inner = None if line else columns.start - columns.step
        for n, column in enumerate(columns):
            if not goes_on(column, inner):
                return n
            inner = column
        return len(columns)

    x0, x1, offset = area.x, area.x + area.width, area.grid.offset_x
    while x1 < codes.shape[1]:
        lines = x0 + begins(x1 - x0 + reach + 1, area.grid.width, offset)
        is_line = x1 in lines
        end = min(int(lines[lines > x1].min(initial=x1 + reach)), codes.shape[1])
        count = strip(range(x1, end), is_line)
        if not count or not _is_seen(codes, rows, tops, x1, x1 + count, x1 + count):
            break
        x1 += count
        if x1 < end:
            break
    while x0 > 0:
        whole = ceil(Fraction(area.grid.width)) if offset == 0 else ceil(offset)
        begin = max(x0 - whole, 0)
        count = strip(range(x0 - 1, begin - 1, -1), offset == 0)
        if not count or not _is_seen(codes, rows, tops, x0 - count, x0, x0 - count):
            break
        offset = (offset - count) % area.grid.width
        x0 -= count
        if x0 > begin:
            break
    grid = area.grid._replace(offset_x=offset)
    return Area(x0, area.y, x1 - x0, area.height).in_blocks(grid)


def _is_seen(codes: np.ndarray, rows: slice, lines: np.ndarray, start: int, stop: int, edge: int) -> bool:
    """Whether columns that continue the blocks are visibly pixelated, and not a flat part of the photo.

    They step at most lines between rows of blocks, or everywhere along their edge. lines: the first row of each block
    but the first, relative to `rows`.
    """
    strip = codes[rows, start:stop]
    if len(lines) and (strip[lines] != strip[lines - 1]).any(axis=1).mean() > 0.5:
        return True
    return 0 < edge < codes.shape[1] and bool((codes[rows, edge] != codes[rows, edge - 1]).mean() > 0.9)


def is_open(codes: np.ndarray, area: ResolvedArea) -> bool:
    """Whether the next blocks beyond a side are as constant, all of them, so that nothing ends the area there.

    Args:
        codes: (H, W) integers, a number for each color.
        area: a rectangle.
    """
    return any(_goes_on(of, one) for of, one in ((codes, area), (codes.T, turned(area))))


def _goes_on(codes: np.ndarray, area: ResolvedArea) -> bool:
    """Whether all of the next blocks to the left or to the right are constant."""
    grid, right = area.grid, area.x + area.width
    lines = area.x + begins(area.width + 2 * ceil(grid.width), grid.width, grid.offset_x)
    before = ceil(grid.offset_x or grid.width)
    for start, stop in ((right, int(lines[lines > right][0])), (area.x - before, area.x)):
        if start >= 0 and stop <= codes.shape[1]:
            blocks = Grid(stop - start, grid.height, 0, grid.offset_y, None, grid.lines_y)
            strip = Area(start, area.y, stop - start, area.height).in_blocks(blocks)
            if shape(codes, strip)[0].all():
                return True
    return False


def shape(codes: np.ndarray, area: ResolvedArea) -> tuple[np.ndarray, np.ndarray]:
    """Find the constant blocks and the pixels of an area.

    Args:
        codes: (H, W) integers, a number for each color.
        area: the area.

    Returns:
        (rows, columns) bool: whether each block has a single color, apart from a mixed line at its sides.
        (h, w) bool: whether each pixel has the color of most of its block.
    """
    part = codes[area.part].astype(np.int64)
    lefts, tops = area.grid.begins(area.width, area.height)
    columns, rows = np.diff(np.append(lefts, area.width)), np.diff(np.append(tops, area.height))
    # a constant block has the color of its middle
    middle = part[(tops + rows // 2)[:, None], lefts + columns // 2]
    equal = part == middle.repeat(rows, axis=0).repeat(columns, axis=1)

    def shares(of: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(of, tops, axis=0, dtype=np.int64), lefts, axis=1)

    count = rows[:, None] * columns
    inner = np.maximum(rows - 1, 1)[:, None] * np.maximum(columns - 1, 1)  # without a mixed row and column
    at_side = np.zeros(part.shape, bool)
    at_side[:, np.concatenate([lefts, lefts + columns - 1])] = at_side[np.concatenate([tops, tops + rows - 1])] = True
    constant = (shares(equal) == count) | ((shares(equal) >= inner) & (count >= 16))
    full = constant & (shares(~equal & ~at_side) == 0)
    for row, column in zip(*np.nonzero(~full), strict=True):  # perhaps only a part of the block is in the area
        here = np.s_[tops[row] : tops[row] + rows[row], lefts[column] : lefts[column] + columns[column]]
        values, counts = np.unique(part[here], return_counts=True)
        equal[here] = (part[here] == values[counts.argmax()]) & (counts.max() >= max(4, counts.sum() / 5))
    whole = full.repeat(rows, axis=0).repeat(columns, axis=1)
    return constant, whole | binary_opening(equal | whole, np.ones((3, 3), bool))  # removes pixels equal by chance


def is_rectangle(constant: np.ndarray, drawn: float = 0.15) -> bool:
    """Whether an area fills its rectangle, though something may be drawn over some blocks.

    Hidden blocks form small pieces away from the corners. An ellipse or an L lacks blocks at a corner.

    Args:
        constant: (rows, columns) bool, as `shape` returns it.
        drawn: largest share of the blocks that one piece may hide, 0..1.
    """
    if constant.mean() < DRAWN_OVER:
        return False
    pieces, count = label(~constant, np.ones((3, 3)))
    corners = {int(pieces[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    return not corners and (not count or np.bincount(pieces.ravel())[1:].max() <= drawn * constant.size)


def wider(area: ResolvedArea, shape: tuple[int, ...]) -> ResolvedArea:
    """The area extended by one block on each side, within the picture of this shape, (H, W)."""
    grid = area.grid
    left, top = min(area.x, ceil(grid.width)), min(area.y, ceil(grid.height))
    right = min(area.x + area.width + ceil(grid.width), shape[1])
    bottom = min(area.y + area.height + ceil(grid.height), shape[0])
    lines = [
        None if of is None else tuple(line + start for line in (0, *of) if line + start)
        for of, start in ((grid.lines_x, left), (grid.lines_y, top))
    ]
    grid = grid._replace(lines_x=None, lines_y=None).at(-left, -top)._replace(lines_x=lines[0], lines_y=lines[1])
    x, y = area.x - left, area.y - top
    return Area(x, y, right - x, bottom - y).in_blocks(grid)


def masked(area: ResolvedArea, hidden: np.ndarray) -> ResolvedArea:
    """The area with its shape: the largest connected piece of `hidden`, (h, w) bool, with holes filled."""
    pieces, _ = label(hidden)
    hidden = binary_fill_holes(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)
    rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    part = np.ascontiguousarray(hidden[top:bottom, left:right])
    bounds = Area(area.x + int(left), area.y + int(top), int(right - left), int(bottom - top))
    return replace(bounds, mask=None if part.all() else part).in_blocks(area.grid.at(int(left), int(top)))
