"""The grid of blocks in areas of whole pictures: what their pixels say of it, and the means of the blocks."""

import numpy as np

from depixel.model.pixelation import LEAST_BLOCK

MOST_BLOCK = 200
"""The largest block that is looked for, pixels."""

MOST_NOISE, BORDER_NOISE, LITTLE_NOISE = 8.0, 6.0, 3.0
"""Gray levels, RMS, that pixels deviate from the means of their blocks after JPEG: at most; in blocks at the area's
border, where what is outside rings; and so little that it may hide steps between blocks, but nothing else."""

Offset = tuple[int, int]
"""Number of columns and of rows that the first blocks lack, 0 to the size of a block - 1: offset_x, offset_y."""


def shown_block_size(area: np.ndarray) -> int:
    """Find the block size of a pixelated area of any picture, also of one that was saved as JPEG afterwards.

    Where all blocks are of one value it is the largest size under which they are, as in `infer_block_sizes`. Else it
    is the likeliest size if steps between neighbouring pixels are exponentially distributed, with one mean at the
    edges of blocks and another within: the least n_on log(m_on) + n_off log(m_off).

    Args:
        area: (h, w) or (h, w, C), gray levels 0..255, any numeric dtype; blocks start at its upper left corner.

    Returns:
        2..200, or the longer side where one value is everywhere; 0 if it does not look pixelated (`fits_blocks`).
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
    return likeliest if likeliest and fits_blocks(area, likeliest, searched=True) else 0


def shown_grid(area: np.ndarray) -> tuple[int, Offset]:
    """The block size and the offset of an area that need not begin with a whole block.

    The size is the largest distance of which all distances between steps are multiples. It is found only where all
    blocks are of one value and there are three steps or more along each axis; the rest is too little to go by.

    Args:
        area: as `shown_block_size` takes it.

    Returns:
        Pixels and the offset; (0, (0, 0)): not found.
    """
    area = area.reshape(*area.shape[:2], -1)
    x, y = (np.flatnonzero((np.diff(area, axis=axis) != 0).any(axis=(1 - axis, 2))) + 1 for axis in (1, 0))
    size = int(np.gcd.reduce(np.concatenate([np.diff(x), np.diff(y)]), initial=0))
    if size < LEAST_BLOCK or min(x.size, y.size) < 3:
        return 0, (0, 0)
    return size, (int(-x[0] % size), int(-y[0] % size))


def fits_blocks(area: np.ndarray, size: int, offset: Offset = (0, 0), searched: bool = False) -> bool:
    """Whether an area, as in `shown_block_size`, may be of blocks of `size` pixels; those of the first row and column
    may lack some pixels.

    Blocks of one value always are. Others have the noise of a JPEG at most: `MOST_NOISE`; in a row or column of blocks
    at a border of the area, which may be too large, `BORDER_NOISE` or 3 times what the others have; and steps within
    blocks are, in the mean, 0.7 times as high as those between them, unless there is `LITTLE_NOISE`.

    Args:
        searched: the size is the likeliest of all: then steps between the blocks must be seen.
    """
    steps, offsets = _steps(area, offset)
    on = offsets % size == 0
    within = steps[~on]
    if not within.any():
        return True
    area = area.reshape(*area.shape[:2], -1).astype(np.float64)
    means = block_means(area, size, offset)
    squares = block_means((area - spread(means, size, area.shape[:2], offset)) ** 2, size, offset).mean(axis=2)
    if np.sqrt(np.mean(squares)) > MOST_NOISE or _reaches_beyond(squares) or _reaches_beyond(squares.T):
        return False
    if on.any() and within.mean() <= 0.7 * steps[on].mean():
        return True
    return not searched and bool(np.sqrt(np.mean(squares)) <= (LITTLE_NOISE if on.any() else BORDER_NOISE))


def shows_multiples(area: np.ndarray, size: int, offset: Offset = (0, 0)) -> bool:
    """Whether blocks are larger than `size`: all steps are at multiples of more pixels, and at six places or more,
    which is hardly chance."""
    steps, offsets = _steps(area, offset)
    shown = offsets[steps > 0]
    return len(shown) >= 6 and int(np.gcd.reduce(shown)) > size


def _reaches_beyond(squares: np.ndarray) -> bool:
    """Whether the first or the last row of blocks is of something else, by the mean square of the noise in each."""
    rows = squares.mean(axis=1)
    return len(rows) > 2 and bool(np.sqrt(max(rows[0], rows[-1])) > max(BORDER_NOISE, 3 * np.sqrt(rows[1:-1].mean())))


def _steps(area: np.ndarray, offset: Offset = (0, 0)) -> tuple[np.ndarray, np.ndarray]:
    """The mean absolute steps between neighbouring columns and between neighbouring rows, and how far from where the
    first block begins, or would if it were whole: both 1-D."""
    area = area.reshape(*area.shape[:2], -1).astype(np.float32)
    across, down = (np.abs(np.diff(area, axis=axis)).mean(axis=(1 - axis, 2)) for axis in (1, 0))
    where = [start + np.arange(1, n + 1) for n, start in zip((across.size, down.size), offset, strict=True)]
    return np.concatenate([across, down]), np.concatenate(where)


def block_means(area: np.ndarray, size: int, offset: Offset = (0, 0)) -> np.ndarray:
    """(h, w, C) -> (rows, columns, C) float64: the mean of each block; those at the right and bottom may be cut off,
    and with an `offset` those at the left and at the top."""
    tops, lefts = (_begins(n, size, start) for n, start in zip(area.shape[:2], offset[::-1], strict=True))
    sums = np.add.reduceat(np.add.reduceat(area, tops, axis=0, dtype=np.float64), lefts, axis=1)
    return sums / block_counts(area.shape[0], area.shape[1], size, offset)[:, :, None]


def block_counts(height: int, width: int, size: int, offset: Offset = (0, 0)) -> np.ndarray:
    """(rows, columns) integers: how many pixels each block has."""
    rows, columns = (
        np.diff(np.append(_begins(n, size, start), n)) for n, start in zip((height, width), offset[::-1], strict=True)
    )
    return rows[:, None] * columns


def _begins(length: int, size: int, offset: int) -> np.ndarray:
    """Along one axis: where blocks begin, the first of which lacks `offset` pixels."""
    return np.append(0, np.arange(size - offset, length, size))


def spread(blocks: np.ndarray, size: int, shape: tuple[int, int], offset: Offset = (0, 0)) -> np.ndarray:
    """(rows, columns, ...) -> (height, width, ...): each block's value at all its pixels."""
    rows, columns = (slice(start, start + n) for n, start in zip(shape, offset[::-1], strict=True))
    return blocks.repeat(size, axis=0)[rows].repeat(size, axis=1)[:, columns]
