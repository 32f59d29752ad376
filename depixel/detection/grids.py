"""The blocks of an area where nothing is exactly constant, and whether it is a single area: by the gain of its lines.

The gain of a line is a log-likelihood ratio: how much better its steps fit the border of two blocks than the inside of
one. The network was trained on square blocks and detects lines of a square grid even where blocks are wider than high.
So a line counts only where the picture itself steps.
"""

from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from depixel.areas.grid import MOST_BLOCK, Grid, Pixels, begins
from depixel.detection.boxes import Box
from depixel.detection.steps import Steps
from depixel.model.pixelation import LEAST_BLOCK

# Natural logarithms of prior odds, subtracted from the gain
_CUT = 60.0  # for a first block that is cut off, along each axis
_NOT_SQUARE, _NOT_WHOLE = 60.0, 60.0  # for blocks that are not square, or not whole pixels
_SPLIT, _SPLIT_SHARE = 200.0, 0.2  # for two areas instead of one, and a share of the gain of one
LEAST_COUNTED = 4
"""Smallest block size that is not whole, pixels: in smaller blocks, lines that are a pixel off hide the fraction."""

_UNUSUAL = 20.0  # for each less usual rounding, and for each pixel of difference in length
_BESIDE = 0.75  # share of its gain that a line keeps a pixel beside its place
_KNOWN = 2  # pixels: accuracy of an area's length
_UNSEEN = -2.0  # gain of a line across which the picture does not step
_STEP, _LEAST_STEP = 2.0, 0.5  # a visible step exceeds this multiple of the steps within blocks, plus gray levels


class _Axis(NamedTuple):
    """The gains along one axis.

    Attributes:
        gains: (length + k,) float64, the gain of a line before each pixel of the area and before k pixels behind it.
        near: the same for a line there or, with less gain, a pixel beside.
        length: length of the area, pixels.
    """

    gains: np.ndarray
    near: np.ndarray
    length: int

    @classmethod
    def of(cls, gains: np.ndarray, length: int) -> "_Axis":
        """Make an axis from gains, (length + k,) float64."""
        beside = np.pad(gains, 1, constant_values=-np.inf)
        return cls(gains, np.maximum(gains, _BESIDE * np.maximum(beside[:-2], beside[2:])), length)

    def worth(self, size: Pixels, offset: Pixels, length: int) -> float:
        """The gain of blocks of this size and offset, for an area of this length; pixels."""
        end = float(self.gains[length]) if length < len(self.gains) else 0.0
        return float(self.near[begins(length, size, offset)[1:]].sum()) + end

    def seen(self, size: Pixels, offset: Pixels, length: int) -> tuple[int, ...] | None:
        """The lines where the pixels show them, up to a pixel beside; None: all are at their regular places."""
        lines = begins(length, size, offset)[1:]
        places = [max((line, line - 1, line + 1), key=lambda at: self.gains[at]) for line in lines.tolist()]
        apart = all(one < other for one, other in pairwise([0, *places, length]))
        return tuple(places) if apart and places != lines.tolist() else None

    def whole(self, most: int) -> dict[int, tuple[float, int]]:
        """For each whole block size up to `most` pixels: its best gain and the offset for it."""
        best = {}
        for size in range(LEAST_BLOCK, most + 1):
            gains = self.gains[1 : self.length]
            sums = np.bincount(np.arange(1, self.length) % size, gains, minlength=size) - _CUT
            sums[0] += _CUT
            first = int(sums.argmax())
            best[size] = float(sums[first]), -first % size
        return best

    def counted(self) -> tuple[float, Pixels, Pixels, int]:
        """The best blocks of which a whole number fills the area: gain, size, offset, and length of the area."""
        options = []
        for length in self.lengths():
            for unusual, size, offset in _counted(length):
                worth = self.worth(size, offset, length) - _UNUSUAL * (abs(length - self.length) + unusual)
                options.append((worth, size, offset, length))
        return max(options)

    def end(self) -> float:
        """The gain of the likeliest end of the area."""
        return max((float(self.gains[length]) for length in self.lengths() if length < len(self.gains)), default=0.0)

    def lengths(self) -> range:
        """Possible lengths of the area, pixels; if no pixel follows, the area ends with the picture."""
        most = min(self.length + _KNOWN, len(self.gains))
        return range(max(self.length - _KNOWN, LEAST_BLOCK), most + 1) if most > self.length else range(most, most + 1)


@lru_cache(maxsize=256)
def _counted(length: int) -> list[tuple[int, Pixels, Pixels]]:
    """Options for a whole number of blocks: rank, size and offset. They round as Pillow, OpenCV and others do."""
    options: list[tuple[int, Pixels, Pixels]] = []
    for count in range(1, max(length // LEAST_COUNTED, 1) + 1):
        size = Fraction(length, count)
        if size.denominator == 1:
            options.append((0, int(size), 0))
        else:
            rounded: tuple[Pixels, ...] = (Fraction(1, 2), 0, Fraction(size.denominator - 1, size.denominator))
            options += [(unusual, size, offset) for unusual, offset in enumerate(rounded)]
    return [option for option in options if option[1] <= MOST_BLOCK] or [(0, MOST_BLOCK, 0)]


def gains(steps: Steps, gray: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """The gain of a line at each step in a box.

    Args:
        steps: the log-likelihood ratios of all steps.
        gray: (H, W) float, the picture.
        box: the box.

    Returns:
        float32 arrays: across (h, w + k), of steps from the left neighbour; down (h + k, w), of steps from the upper
        neighbour. k: up to 3 pixels behind the box, as far as the picture goes.
    """
    sides = []
    for of, rows, columns, image in (
        (steps, slice(box.y0, box.y1), slice(box.x0, box.x1 + _KNOWN + 1), gray),
        (steps.turned, slice(box.x0, box.x1), slice(box.y0, box.y1 + _KNOWN + 1), gray.T),
    ):
        gain = of.line[rows, columns] - of.inside[rows, columns]
        pixels = image[rows, columns]
        heights = np.abs(np.diff(pixels, axis=1, prepend=pixels[:, :1])).mean(axis=0)
        usual = float(np.quantile(heights[1:], 0.25)) if len(heights) > 1 else 0.0
        flat = heights <= _STEP * usual + _LEAST_STEP
        gain[:, flat] = np.minimum(gain[:, flat], _UNSEEN)
        sides.append(gain)
    return sides[0], sides[1].T


def fitted(across: np.ndarray, down: np.ndarray, box: Box) -> tuple[float, Box]:
    """Find the likeliest blocks of an area: the gain of their lines, and the box with these blocks.

    A whole number of blocks may end a few pixels before or behind the area; then the box is changed accordingly.

    Args:
        across, down: as `gains` returns them.
        box: the area.
    """
    axes = (
        _Axis.of(across.sum(axis=0, dtype=np.float64), box.x1 - box.x0),
        _Axis.of(down.sum(axis=1, dtype=np.float64), box.y1 - box.y0),
    )
    most = min(max(box.size, LEAST_BLOCK, *(axis.length for axis in axes)), MOST_BLOCK)
    whole = [axis.whole(most) for axis in axes]
    ends = sum(axis.end() for axis in axes)
    worth, size = max((whole[0][size][0] + whole[1][size][0] + ends, size) for size in whole[0])
    square = box._replace(size=size, offset_x=whole[0][size][1], offset_y=whole[1][size][1], grid=None)
    free = [
        max((worth + axis.end(), size, offset, axis.length) for size, (worth, offset) in sizes.items())
        for axis, sizes in zip(axes, whole, strict=True)
    ]
    counted = [axis.counted() for axis in axes]
    of_free, of_counted = (sum(span[0] for span in spans) - _NOT_SQUARE for spans in (free, counted))
    other, spans = (of_free, free) if of_free >= of_counted - _NOT_WHOLE else (of_counted - _NOT_WHOLE, counted)
    if other <= worth:
        return worth - ends, square
    (_, width, offset_x, wide), (_, height, offset_y, high) = spans
    seen = [axis.seen(*span[1:]) if spans is counted else None for axis, span in zip(axes, spans, strict=True)]
    grid = Grid(width, height, offset_x, offset_y, *seen)
    size = int(max(width, height))
    return other - ends, Box(box.x0, box.y0, box.x0 + wide, box.y0 + high, size, 0, 0, grid)


def parts(steps: Steps, gray: np.ndarray, box: Box) -> list[Box]:
    """Split a box into areas with different blocks, side by side or one above the other; usually it is a single one.

    Args:
        steps: the log-likelihood ratios of all steps.
        gray: (H, W) float, the picture.
        box: the box.

    Returns:
        The areas, each in its likeliest blocks.
    """
    across, down = gains(steps, gray, box)
    worth, one = fitted(across, down, box)
    across, down = across[:, : box.x1 - box.x0], down[: box.y1 - box.y0]
    (left_right, x), (above_below, y) = _split(across, down), _split(down.T, across.T)
    if max(left_right, above_below) <= worth + _SPLIT + _SPLIT_SHARE * max(worth, 0):
        return [one]
    whole = box._replace(grid=None, offset_x=0, offset_y=0)
    if left_right >= above_below:
        halves = whole._replace(x1=box.x0 + x), whole._replace(x0=box.x0 + x)
    else:
        halves = whole._replace(y1=box.y0 + y), whole._replace(y0=box.y0 + y)
    return [part for half in halves for part in parts(steps, gray, half)]


def _split(across: np.ndarray, down: np.ndarray) -> tuple[float, int]:
    """The gain of the best two areas left and right of a column, and that column."""
    high, wide = across.shape
    if wide < 4 * LEAST_BLOCK or high < 2 * LEAST_BLOCK:
        return -np.inf, 0
    columns = across.sum(axis=0, dtype=np.float64)
    rows = np.pad(down.cumsum(axis=1, dtype=np.float64), ((0, 0), (1, 0)))  # of the columns before
    left, right, above = np.zeros(wide + 1), np.zeros(wide + 1), np.zeros((2, wide + 1))
    for size in range(LEAST_BLOCK, min(max(wide, high), MOST_BLOCK) + 1):
        lines = np.zeros(wide)
        lines[size::size] = columns[size::size]
        left = np.maximum(left, np.append(0, lines.cumsum()))
        after = np.append(columns, np.zeros(-wide % size)).reshape(-1, size)[::-1].cumsum(axis=0)[::-1].ravel()
        right = np.maximum(right, np.append(after[size:], np.zeros(2 * size))[: wide + 1])
        before = rows[size::size].sum(axis=0)
        above = np.maximum(above, [before, before[-1] - before])
    both = left + right + above.sum(axis=0) + np.append(columns, 0)
    inner = slice(2 * LEAST_BLOCK, wide - 2 * LEAST_BLOCK + 1)
    at = inner.start + int(both[inner].argmax())
    return float(both[at]), at
