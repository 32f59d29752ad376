"""Areas whose blocks are exactly constant: of lossless pictures, or pixelated after the picture was a JPEG."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter

from depixel.areas.grid import MOST_BLOCK
from depixel.detection import large
from depixel.detection.boxes import Box, Candidate, differ
from depixel.detection.jpeg import BLOCKY, dull, is_aligned
from depixel.detection.steps import Steps, fit, search
from depixel.model.pixelation import LEAST_BLOCK

_NOISE = 0.05  # mean step within blocks, gray levels: in effect none
_LINE = 6.0  # mean step between blocks / mean step around
_WINDOW = 17  # pixels; over which the contrast of the surroundings is taken
_WINDOWS = (_WINDOW, 129)  # for blocks of up to twice as many pixels
_WRONG = 0.05  # share of an outer row or column of an area that may not be constant within blocks
_TRIES = 24  # areas in vain
_CORNER = 3.0  # of `Steps`


def find(gray: np.ndarray, was_jpeg: bool, check: Callable[[], None]) -> list[Candidate]:
    """Areas whose blocks are exactly constant, with scores and whether they are certain."""
    silent = dull(gray) if was_jpeg else None
    found = large.find(gray, lambda box: _differ(gray, box, was_jpeg, share=0), check)
    taken = [one.box for one in found if one.certain]
    for window in _WINDOWS:
        if window > _WINDOW and window > min(gray.shape) // 4:
            break
        steps = _steps(gray, silent, window)
        for box in taken:
            steps.rule_out(box)

        def decided(score: float, grown: Box, steps: Steps = steps) -> Box | None:
            check()
            score, box = _regridded(gray, steps, score, grown)
            trimmed = _trimmed(gray, box)
            if trimmed != box:  # what was beside it is gone, and may have hidden where it ends, and its blocks
                score, box = _regridded(gray, steps, steps.score(trimmed), trimmed)
                trimmed = _trimmed(gray, box)
            box = _peeled(gray, steps, trimmed).plain()
            verdict = _verdict(score, box, _traits(steps, box), _differ(gray, box, was_jpeg))
            if verdict is not None:
                found.append(Candidate(score, box, verdict))
            return grown if verdict else None

        search(
            steps,
            15.0,
            _TRIES if gray.size > 1_000_000 else 3 * _TRIES,
            min(MOST_BLOCK, max(gray.shape), 2 * window),
            decided,
        )
    return found


def _differ(gray: np.ndarray, box: Box, was_jpeg: bool, share: float = 1 / 3) -> bool:
    """Whether neighbouring blocks do; those that are JPEG's differ a little by themselves."""
    return differ(gray, box, 2 * BLOCKY if was_jpeg and is_aligned(box) else 1, share)


def _steps(gray: np.ndarray, silent: np.ndarray | None, window: int) -> Steps:
    """Of a picture (H, W) float32; where `silent`, steps say nothing.

    Steps within blocks, between blocks and in a photo have mean sizes of `_NOISE`, 6 times that around, and that
    around, with a heavy tail: the density at a step s of mean size a is 2/a (1 + s/a)^-3. window: over how many pixels
    the contrast around is taken, not much less than the largest blocks.
    """
    steps = [np.zeros_like(gray), np.zeros_like(gray)]
    steps[0][:, 1:] = np.abs(np.diff(gray, axis=1))
    steps[1][1:] = np.abs(np.diff(gray, axis=0))
    scale = np.maximum(uniform_filter((steps[0] + steps[1]) / 2, window, mode="nearest"), np.float32(_NOISE))
    both = []
    for axis, step in enumerate(steps):
        tail = np.log1p(step / scale)
        inside = np.log(scale / _NOISE) + 3 * (tail - np.log1p(step / _NOISE))
        line = 3 * (tail - np.log1p(step / (_LINE * scale))) - np.float32(np.log(_LINE))
        for ratio in (inside, line):
            ratio[(slice(None), 0) if axis == 0 else 0] = 0
            if silent is not None:
                ratio[silent] = 0
        both.append((inside, line))
    return Steps.of(both[0], both[1], reach=3 * window, corner=_CORNER)


class _Traits(NamedTuple):
    """What a decision on an area of a lossless picture rests on; mean log-likelihood ratios.

    Attributes:
        lines: of a step at the lines between blocks being no step within one; line_pixels: how many. sides: the same of
            the area's sides, the mean of the four. inside: of a step within blocks being none of a photo.
    """

    lines: float
    line_pixels: int
    sides: float
    inside: float


def _traits(steps: Steps, box: Box) -> _Traits:
    lines, sides, inside = [], [], []
    for of, (x0, x1), (y0, y1), at in (
        (steps, (box.x0, box.x1), (box.y0, box.y1), box.lines()[0]),
        (steps.turned, (box.y0, box.y1), (box.x0, box.x1), box.lines()[1]),
    ):
        rows = slice(y0, y1)
        lines.append((of.line[rows, at] - of.inside[rows, at]).ravel())
        sides += [_side(of, rows, edge) for edge in (x0, x1) if 0 < edge < of.width]
        inside.append(np.delete(of.inside[rows, x0:x1], np.append(at - x0, 0), axis=1).ravel())
    at_lines, within = np.concatenate(lines), np.concatenate(inside)
    return _Traits(
        lines=float(at_lines.mean()) if at_lines.size else 0.0,
        line_pixels=at_lines.size,
        sides=float(np.mean(sides)) if sides else 4.0,  # the whole picture
        inside=float(within.mean()) if within.size else 0.0,
    )


def _side(steps: Steps, rows: slice, column: int) -> float:
    """How much likelier the steps into a column are to be a side of blocks than to be within one; the mean."""
    return float((steps.line[rows, column] - steps.inside[rows, column]).mean())


def _regridded(gray: np.ndarray, steps: Steps, score: float, box: Box) -> tuple[float, Box]:
    """The grid that follows from where pixels of the area differ, and the area that is best under it."""
    area = gray[box.y0 : box.y1, box.x0 : box.x1]
    x, y = (np.flatnonzero((np.diff(area, axis=1 - axis) != 0).any(axis=axis)) + 1 for axis in (0, 1))
    size, offset_x, offset_y = int(np.gcd.reduce(np.append(x, y))) if x.size + y.size else 0, 0, 0
    between = int(np.gcd.reduce(np.append(np.diff(x), np.diff(y)))) if x.size + y.size > 2 else 0
    if between > size and (size < LEAST_BLOCK or all(at.size > 2 for at in (x, y) if at.size and at[0] % between)):
        size = between
        offset_x, offset_y = (int(-at[0] % size) if at.size else 0 for at in (x, y))
    if size < LEAST_BLOCK:
        return score, box
    box = box._replace(size=size, offset_x=offset_x, offset_y=offset_y)
    for _ in range(2):
        x_lines, near = box.lines()[0], (max(0, box.y0 - size), min(steps.height, box.y1 + size))
        _, down = fit(steps.turned, (box.x0, box.x1), x_lines, *near, (size, size))
        near = max(0, box.x0 - size), min(steps.width, box.x1 + size)
        new, across = fit(steps, (down.start, down.stop), down.lines(), *near, (size, size))
        if new < score:
            break
        score = new
        box = Box(across.start, down.start, across.stop, down.stop, size, across.offset, down.offset)
    return score, box


def _trimmed(gray: np.ndarray, box: Box) -> Box:
    """Less the outer rows and columns that are not constant within blocks: smooth parts of the photo."""
    area = gray[box.y0 : box.y1, box.x0 : box.x1]
    x, y = box.lines()
    across, down = np.diff(area, axis=1) != 0, np.diff(area, axis=0) != 0  # from a pixel to the next
    across[:, x - box.x0 - 1] = down[y - box.y0 - 1] = False

    def wrong(top: int, bottom: int, left: int, right: int) -> list[float]:
        """Of the row at the top, at the bottom, the column at the left, at the right: which share is not constant."""
        rows, columns = across[top:bottom, left : right - 1], down[top : bottom - 1, left:right]
        edges = (
            (rows[0], columns[0]),
            (rows[-1], columns[-1]),
            (columns[:, 0], rows[:, 0]),
            (columns[:, -1], rows[:, -1]),
        )
        return [(np.append(False, along) | inwards).mean() for along, inwards in edges]

    whole = sides = np.array([0, area.shape[0], 0, area.shape[1]])
    outwards = np.diag([-1, 1, -1, 1])
    while min(sides[1] - sides[0], sides[3] - sides[2]) > LEAST_BLOCK:
        shares = wrong(*sides)
        if max(shares) <= _WRONG:
            break
        sides = sides - outwards[int(np.argmax(shares))]
    at = 0
    while at < 4:  # what was wrong only with what else is gone comes back
        grown = sides + outwards[at]
        if grown[at] * outwards[at, at] > whole[at] * outwards[at, at] or wrong(*grown)[at] > _WRONG:
            at += 1
        else:
            sides, at = grown, 0
    top, bottom, left, right = map(int, sides)
    return Box(
        box.x0 + left,
        box.y0 + top,
        box.x0 + right,
        box.y0 + bottom,
        box.size,
        (box.offset_x + left) % box.size,
        (box.offset_y + top) % box.size,
    )


def _peeled(gray: np.ndarray, steps: Steps, box: Box) -> Box:
    """Less the outer rows and columns of blocks that are of one value and end in no step: smooth parts of the photo."""
    for _ in range(MOST_BLOCK):
        x, y = box.lines()
        if not (len(x) and len(y)):
            break
        rows, columns = slice(box.y0, box.y1), slice(box.x0, box.x1)
        sides = (
            (steps, rows, box.x0, gray[rows, box.x0 : x[0]], {"x0": int(x[0]), "offset_x": 0}),
            (steps, rows, box.x1, gray[rows, x[-1] : box.x1], {"x1": int(x[-1])}),
            (steps.turned, columns, box.y0, gray[box.y0 : y[0], columns], {"y0": int(y[0]), "offset_y": 0}),
            (steps.turned, columns, box.y1, gray[y[-1] : box.y1, columns], {"y1": int(y[-1])}),
        )
        for of, along, edge, outer, change in sides:
            ends = 0 < edge < of.width and _side(of, along, edge) >= 2
            if not ends and outer.min() == outer.max():
                box = box._replace(**change)
                break
        else:
            break
    return box


def _verdict(score: float, box: Box, traits: _Traits, differ: bool) -> bool | None:
    """Certain, uncertain, or None: not pixelated."""
    odd = box.odd()
    thin = min(box.x1 - box.x0, box.y1 - box.y0) < 3
    if thin or not traits.line_pixels or score < 100 or traits.inside < 1.1 or traits.sides < 3:
        return None
    if not differ or any(len(at) < 3 for at in odd):  # where a grid begins is seen by its lines
        return False
    if box.size > 2 * _WINDOW and box.size > min(box.x1 - box.x0, box.y1 - box.y0):  # no block is whole
        return False
    return bool(traits.lines >= 1 and traits.sides > (3.5 if odd else 3) and score > (1200 if odd else 220))
