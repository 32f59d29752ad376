"""The grid of blocks of an area: finding it in the pixels, and the means of its blocks."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from depixel.model.pixelation import LEAST_BLOCK

MOST_BLOCK = 200
"""The largest block size that detection considers, pixels."""

MOST_NOISE, BORDER_NOISE, LITTLE_NOISE = 8.0, 6.0, 3.0
"""Limits of JPEG noise: RMS deviations of pixels from the means of their blocks, gray levels. `MOST_NOISE` holds for
the whole area, `BORDER_NOISE` for blocks at its border, where the surroundings ring. Noise up to `LITTLE_NOISE` can
hide steps between blocks, but no detail within them."""

Pixels = int | Fraction
"""A length in pixels that need not be whole: some tools make blocks of 15/2 pixels."""


def as_pixels(length: Fraction) -> Pixels:
    """Convert a whole length to an int; others stay fractions."""
    return int(length) if length.denominator == 1 else length


class Grid(NamedTuple):
    """The blocks of an area. Column x of the area belongs to block floor((x + offset_x) / width); rows likewise.

    Tools that shrink and enlarge a picture make blocks that are not whole pixels wide, and round where each begins. The
    fraction of the offset says how: 0 if the left side of a pixel decides (OpenCV), 1/2 if its centre does (Pillow,
    Qt).

    Attributes:
        width, height: sides of a block, pixels.
        offset_x, offset_y: number of columns and rows that the first blocks lack, 0 to less than a block.
        lines_x, lines_y: the first column or row of each block but the first, if the pixels show that the tool rounded
            some of them differently; None: as computed from width and offset.
    """

    width: Pixels
    height: Pixels
    offset_x: Pixels = 0
    offset_y: Pixels = 0
    lines_x: tuple[int, ...] | None = None
    lines_y: tuple[int, ...] | None = None

    @classmethod
    def square(cls, size: int, offset: tuple[int, int] = (0, 0)) -> "Grid":
        """Square blocks of whole pixels."""
        return cls(size, size, *offset)

    @property
    def turned(self) -> "Grid":
        """The grid of the transposed area."""
        return Grid(self.height, self.width, self.offset_y, self.offset_x, self.lines_y, self.lines_x)

    @property
    def is_whole(self) -> bool:
        """Whether the block width and height are whole."""
        return self.width == int(self.width) and self.height == int(self.height)

    def begins(self, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """The first column and the first row of each block of an area of this width and height, pixels; int64."""
        columns = begins(width, self.width, self.offset_x) if self.lines_x is None else _from_first(self.lines_x, width)
        rows = begins(height, self.height, self.offset_y) if self.lines_y is None else _from_first(self.lines_y, height)
        return columns, rows

    def at(self, x: int, y: int) -> "Grid":
        """The grid of the part of the area that begins at column x and row y."""
        return Grid(
            self.width,
            self.height,
            (self.offset_x + x) % self.width,
            (self.offset_y + y) % self.height,
            None if self.lines_x is None else tuple(line - x for line in self.lines_x if line > x),
            None if self.lines_y is None else tuple(line - y for line in self.lines_y if line > y),
        )


def _from_first(lines: tuple[int, ...], length: int) -> np.ndarray:
    return np.array([0, *(line for line in lines if line < length)], np.int64)


def begins(length: int, size: Pixels, offset: Pixels = 0) -> np.ndarray:
    """The first pixel of each block along an axis, int64.

    Args:
        length: length of the axis, pixels.
        size: size of a block, pixels.
        offset: number of pixels that the first block lacks.
    """
    size, offset = Fraction(size), Fraction(offset)
    parts = size.denominator * offset.denominator
    step, lacking = int(size * parts), int(offset * parts)
    later = -((lacking - np.arange(1, (length * parts + lacking) // step + 1, dtype=np.int64) * step) // parts)
    return np.append(0, later[later < length])


def block_means(area: np.ndarray, grid: Grid) -> np.ndarray:
    """(h, w, C) -> (rows, columns, C) float64: the mean of each block, including blocks cut off at the sides."""
    lefts, tops = grid.begins(area.shape[1], area.shape[0])
    sums = np.add.reduceat(np.add.reduceat(area, tops, axis=0, dtype=np.float64), lefts, axis=1)
    return sums / block_counts(area.shape[0], area.shape[1], grid)[:, :, None]


def block_counts(height: int, width: int, grid: Grid) -> np.ndarray:
    """(rows, columns) integers: the number of pixels of each block."""
    columns, rows = (
        np.diff(np.append(at, n)) for at, n in zip(grid.begins(width, height), (width, height), strict=True)
    )
    return rows[:, None] * columns


def spread(blocks: np.ndarray, grid: Grid, shape: tuple[int, int]) -> np.ndarray:
    """(rows, columns, ...) -> (height, width, ...): repeat each block's value over its pixels."""
    columns, rows = (
        np.diff(np.append(at, n)) for at, n in zip(grid.begins(shape[1], shape[0]), shape[::-1], strict=True)
    )
    return blocks.repeat(rows, axis=0).repeat(columns, axis=1)


def shown_block_size(area: np.ndarray) -> int:
    """Find the block size of a pixelated area, also if the picture was saved as JPEG afterwards.

    If each block has a single value, the block size is the largest one for which that holds, as in `infer_block_sizes`.
    Otherwise it is the likeliest size, if steps between neighbouring pixels are exponentially distributed with one mean
    at the edges of blocks and another within: the size with the least n_on log(m_on) + n_off log(m_off).

    Args:
        area: (h, w) or (h, w, C), gray levels 0..255, any numeric dtype; blocks start at its upper left corner.

    Returns:
        2..200 pixels; the longer side if the area has a single value; 0 if it does not look pixelated (`fits_blocks`).
    """
    steps, offsets = _steps(area)
    divisor = int(np.gcd.reduce(offsets[steps > 0], initial=0))
    if divisor == 0:
        return max(area.shape[:2])
    if divisor >= LEAST_BLOCK:
        return divisor if divisor <= MOST_BLOCK else max(n for n in range(1, MOST_BLOCK + 1) if divisor % n == 0)

    def cost(size: int) -> float:
        on = offsets % size == 0
        return sum(part.size * np.log(part.mean() + 0.05) for part in (steps[on], steps[~on]) if part.size)

    sizes = range(LEAST_BLOCK, min(MOST_BLOCK, max(area.shape[:2]) - 1) + 1)
    likeliest = min(sizes, key=cost, default=0)
    return likeliest if likeliest and fits_blocks(area, Grid.square(likeliest), searched=True) else 0


def shown_grid(area: np.ndarray) -> Grid | None:
    """Find the block size and the offset of an area that need not begin with a whole block.

    The size is the greatest common divisor of the distances between steps. This needs blocks of a single value, two
    steps along each axis, and six in all.

    Args:
        area: as for `shown_block_size`.

    Returns:
        The grid; None: not found.
    """
    area = area.reshape(*area.shape[:2], -1)
    x, y = (np.flatnonzero((np.diff(area, axis=axis) != 0).any(axis=(1 - axis, 2))) + 1 for axis in (1, 0))
    size = int(np.gcd.reduce(np.concatenate([np.diff(x), np.diff(y)]), initial=0))
    if size < LEAST_BLOCK or min(x.size, y.size) < 2 or x.size + y.size < 6:
        return None
    return Grid(size, size, int(-x[0] % size), int(-y[0] % size))


def fits_blocks(area: np.ndarray, grid: Grid, searched: bool = False) -> bool:
    """Whether an area may consist of these blocks.

    Blocks of a single value always fit. Otherwise the noise must be that of a JPEG: at most `MOST_NOISE` overall. In a
    row or column of blocks at a border, where the area may reach too far, it is at most `BORDER_NOISE` or three times
    that of the inner blocks. And steps within blocks have at most 0.7 times the mean of those between blocks, unless
    the noise is at most `LITTLE_NOISE`.

    Args:
        area: as for `shown_block_size`.
        grid: the blocks to check.
        searched: whether the block size is the likeliest of many; then steps between the blocks are required.
    """
    steps, _ = _steps(area)
    on = np.concatenate(
        [_between(n, at) for n, at in zip(area.shape[1::-1], grid.begins(*area.shape[1::-1]), strict=True)]
    )
    within = steps[~on]
    if not within.any():
        return True
    area = area.reshape(*area.shape[:2], -1).astype(np.float64)
    means = block_means(area, grid)
    squares = block_means((area - spread(means, grid, area.shape[:2])) ** 2, grid).mean(axis=2)
    if np.sqrt(np.mean(squares)) > MOST_NOISE or _reaches_beyond(squares) or _reaches_beyond(squares.T):
        return False
    if on.any() and within.mean() <= 0.7 * steps[on].mean():
        return True
    return not searched and bool(np.sqrt(np.mean(squares)) <= (LITTLE_NOISE if on.any() else BORDER_NOISE))


def shows_multiples(area: np.ndarray, size: int, offset: tuple[int, int] = (0, 0)) -> bool:
    """Whether blocks are larger than `size` pixels: all steps lie at multiples of a larger size.

    At least six steps are required, because fewer could lie there by chance.

    Args:
        area: as for `shown_block_size`.
        size: a block size, pixels.
        offset: number of columns and rows that the first blocks lack.
    """
    steps, offsets = _steps(area, offset)
    shown = offsets[steps > 0]
    return len(shown) >= 6 and int(np.gcd.reduce(shown)) > size


def _reaches_beyond(squares: np.ndarray) -> bool:
    """Whether the first or the last row of blocks lies outside the pixelated area, by the mean square noise of each."""
    rows = squares.mean(axis=1)
    return len(rows) > 2 and bool(np.sqrt(max(rows[0], rows[-1])) > max(BORDER_NOISE, 3 * np.sqrt(rows[1:-1].mean())))


def _between(length: int, firsts: np.ndarray) -> np.ndarray:
    """(length - 1,) bool: whether each step leads into the first column or row of a block."""
    between = np.zeros(length, bool)
    between[firsts] = True
    return between[1:]


def _steps(area: np.ndarray, offset: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, np.ndarray]:
    """Steps between neighbours: their mean absolute size, and their distance from the start of the first whole block.

    Both are 1-D: first the steps between columns, then those between rows.
    """
    area = area.reshape(*area.shape[:2], -1).astype(np.float32)
    across, down = (np.abs(np.diff(area, axis=axis)).mean(axis=(1 - axis, 2)) for axis in (1, 0))
    where = [start + np.arange(1, n + 1) for n, start in zip((across.size, down.size), offset, strict=True)]
    return np.concatenate([across, down]), np.concatenate(where)
