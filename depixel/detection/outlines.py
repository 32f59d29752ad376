"""The outline of an area with a known grid, where nothing is exactly constant, from the steps of its pixels.

The search finds rectangles in one grid: of an ellipse, the rectangle within; of an area with text over it, the whole
area; of two areas that touch, a rectangle around both.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_fill_holes, binary_opening, label

from depixel.detection.boxes import Box
from depixel.detection.shapes import DRAWN_OVER
from depixel.detection.steps import Steps
from depixel.model.pixelation import LEAST_BLOCK

_BESIDE = 2  # pixels beyond a side that may look like the area
_MORE = 0.02  # share of an area; a smaller part beyond the box is ignored
_SIDES = 0.6  # least share of visible blocks along a side of a rectangle
_FRAME = 3  # pixels along a side that always count as the area's
# Sums of the log-likelihood ratios of a pixel's four steps
_LEAST = -12.0  # of a pixel of an area, at least; pixels at its edge have low values
_SURE = 8.0  # mean of a part beyond the box from which it belongs to the area
_CLEAR = 18.0  # mean of a part beyond the box from which the box alone is not the area


class Outline(NamedTuple):
    """The outline of an area.

    Attributes:
        box: the bounds of the area.
        mask: (h, w) bool, its shape; None: a rectangle.
        other: (h, w) bool, pixels within the bounds that do not show its blocks: they are outside the shape, or
            something is drawn over them.
        mean: mean over its pixels of the sum of their four steps' log-likelihood ratios.
        whole: whether the box that was found shows blocks everywhere and hardly continues beyond its sides.
    """

    box: Box
    mask: np.ndarray | None
    other: np.ndarray
    mean: float
    whole: bool


def outline(steps: Steps, box: Box, beside: Sequence[Box] = ()) -> Outline:
    """Find the outline of an area of which the search found a rectangle.

    Args:
        steps: the log-likelihood ratios of all steps.
        box: the rectangle, with its blocks.
        beside: other areas, which this one must not enter.
    """
    around = _around(steps, box)
    worth, here = _worth(steps, box, around), _part(box, around)
    own = worth[here].copy()
    for other in beside:
        worth[_part(other, around)] = 2 * _LEAST
    worth[here] = own
    seen = binary_opening(worth > _LEAST, np.ones((3, 3)))
    connected = binary_fill_holes(_connected(seen, here))
    beyond = connected.copy()
    beyond[tuple(slice(max(of.start - _BESIDE, 0), of.stop + _BESIDE) for of in here)] = False
    beyond = binary_opening(beyond, np.ones((LEAST_BLOCK, LEAST_BLOCK)))
    said = float(worth[beyond].mean()) if beyond.sum() > _MORE * box.pixels else -np.inf
    goes_on = said > _SURE
    is_whole = _is_rectangle(_shares(seen[here], box) > 0.5) and said < _CLEAR
    if is_whole and not goes_on:
        inner = np.zeros(seen[here].shape, bool)
        inner[_FRAME:-_FRAME, _FRAME:-_FRAME] = True
        return Outline(box, None, ~seen[here] & inner, _mean(steps, box, seen[here]), is_whole)
    rows, columns = np.flatnonzero(connected.any(axis=1)), np.flatnonzero(connected.any(axis=0))
    if not len(rows):
        return Outline(box, None, ~seen[here], _mean(steps, box, np.ones_like(seen[here])), is_whole)
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    x0, y0 = around.x0 + int(columns[0]), around.y0 + int(rows[0])
    bounds = box.with_sides(x0, y0, x0 + int(np.ptp(columns)) + 1, y0 + int(np.ptp(rows)) + 1)
    shown = connected & seen
    return Outline(bounds, np.ascontiguousarray(connected[part]), ~shown[part], float(worth[shown].mean()), is_whole)


def _is_rectangle(seen: np.ndarray) -> bool:
    """Whether an area fills its rectangle; seen: (rows, columns) bool, its visible blocks. Text may hide some of them.

    An ellipse or an L lacks a corner.
    """
    corners = seen[0, 0] & seen[0, -1] & seen[-1, 0] & seen[-1, -1]
    sides = min(of.mean() for of in (seen[0], seen[-1], seen[:, 0], seen[:, -1]))
    return bool(corners and sides > _SIDES and seen.mean() > DRAWN_OVER)


def _part(box: Box, around: Box) -> tuple[slice, slice]:
    """Rows and columns of the part of a box within `around`, relative to `around`."""
    return (
        slice(max(box.y0 - around.y0, 0), max(min(box.y1, around.y1) - around.y0, 0)),
        slice(max(box.x0 - around.x0, 0), max(min(box.x1, around.x1) - around.x0, 0)),
    )


def _around(steps: Steps, box: Box) -> Box:
    """A box extended on each side by its own width or height, at least two blocks, within the picture."""
    wide, high = max(box.x1 - box.x0, 2 * box.size), max(box.y1 - box.y0, 2 * box.size)
    x0, y0 = max(box.x0 - wide, 0), max(box.y0 - high, 0)
    return box.with_sides(x0, y0, min(box.x1 + wide, steps.width), min(box.y1 + high, steps.height))


def _worth(steps: Steps, box: Box, around: Box) -> np.ndarray:
    """(H, W) of `around`: the sum of each pixel's four log-likelihood ratios for being in a block of the box's grid."""
    sums = []
    for part in _said(steps, box, around):
        both = part.copy()
        both[:, :-1] += part[:, 1:]
        sums.append(both)
    return sums[0] + sums[1].T


def _said(steps: Steps, box: Box, around: Box) -> list[np.ndarray]:
    """The log-likelihood ratios of the steps in `around`: from the left, (H, W), and from above, (W, H)."""
    parts = []
    for axis, of in enumerate((steps, steps.turned)):
        x0, y0, x1, y1 = around[:4] if axis == 0 else (around.y0, around.x0, around.y1, around.x1)
        part = of.inside[y0:y1, x0:x1].copy()
        lines = _lines(box, around, axis)
        part[:, lines] = of.line[y0:y1, x0:x1][:, lines]
        parts.append(part)
    return parts


def _mean(steps: Steps, box: Box, seen: np.ndarray) -> float:
    """Four times the mean log-likelihood ratio of a step in an area; seen: (h, w) bool, the pixels that count."""
    total, count = 0.0, 0
    for said, both in zip(_said(steps, box, box), (seen, seen.T), strict=True):
        inner = both[:, 1:] & both[:, :-1]
        total, count = total + float(said[:, 1:][inner].sum()), count + int(inner.sum())
    return 4 * total / max(count, 1)


def _lines(box: Box, around: Box, axis: int) -> np.ndarray:
    """The lines between blocks in `around` along an axis, relative to `around`.

    Lines in the box are where the pixels show them; those beyond it are at regular places.
    """
    grid = box.area.grid._replace(lines_x=None, lines_y=None).at(around.x0 - box.x0, around.y0 - box.y0)
    regular = grid.begins(*_sides(around))[axis][1:]
    begin = (around.x0, around.y0)[axis]
    start, stop = ((box.x0, box.x1), (box.y0, box.y1))[axis]
    beyond = regular[(regular <= start - begin) | (regular >= stop - begin)]
    return np.append(beyond, box.lines()[axis] - begin)


def _sides(box: Box) -> tuple[int, int]:
    return box.x1 - box.x0, box.y1 - box.y0


def _connected(seen: np.ndarray, here: tuple[slice, slice]) -> np.ndarray:
    """The connected piece that has the most pixels within a part of the picture."""
    pieces, count = label(seen)
    if not count:
        return seen
    sizes = np.bincount(pieces[here].ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax()) if sizes.any() else np.zeros_like(seen)


def _shares(seen: np.ndarray, box: Box) -> np.ndarray:
    """(rows, columns): the visible share of each block, without blocks that are cut off to a pixel or two."""
    lefts, tops = box.area.grid.begins(*_sides(box))
    counts = [np.diff(np.append(of, length)) for of, length in zip((lefts, tops), _sides(box), strict=True)]
    sums = np.add.reduceat(np.add.reduceat(seen, tops, axis=0, dtype=np.int64), lefts, axis=1)
    shares = np.asarray(sums / (counts[1][:, None] * counts[0]))
    for axis, sizes in ((1, counts[0]), (0, counts[1])):
        kept = np.flatnonzero(sizes >= _FRAME)
        shares = shares.take(range(kept[0], kept[-1] + 1), axis) if len(kept) else shares
    return shares
