"""How likely a JPEG's pixels are, were an area of it pixelated: from what pixelation and JPEG do to a photo.

The photo is a Gaussian process with an exponential covariance, as in `baselines.Kriging`, and with the contrast that is
seen around each pixel. Pixelation takes means of it; JPEG rounds the coefficients of 8 x 8 pixels to multiples of its
steps. With that rounding as noise, all is linear: the pixels are normally distributed, and under the right area and
blocks they are likeliest. So that it can be computed quickly, tiles of the picture count as independent of each other.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from scipy.fft import dct
from scipy.linalg import cholesky, solve_triangular
from scipy.ndimage import gaussian_filter

from depixel.detection.boxes import Box
from depixel.detection.jpeg import BLOCK, LEAST_BLOCK, blocks_of
from depixel.detection.steps import Steps
from depixel.pixelation import MOST_BLOCK

_RANGE = 8.0  # pixels over which the covariance falls to 1/e
_WINDOW = 3.0  # pixels, standard deviation of the window in which contrast is seen
_CONTRAST = 1.0  # the least, gray levels
_LEVEL = 40.0  # standard deviation of a tile's level, gray levels
_ROUNDING = 1 / 12  # variance
_ROUNDED, _ZERO = (
    1 / 12,
    1 / 4,
)  # variances of a coefficient, in steps; of one that is 0 only that it was small is known

_TILE = 16  # pixels, a multiple of JPEG's blocks
_MOST_TILES = 24  # of a large area, as many are enough
_CORNER = 16.0  # by how much a grid that begins at the area's corner is likelier than another, in each direction
_ROUNDS = 4
_NEAR = 4  # pixels that a side is moved by
_OPTIONS = 16  # of one change
_WORSE = 0.3  # share of what the steps say of an area that a change may cost

_ROWS, _COLUMNS = (place.ravel() for place in np.indices((_TILE, _TILE)))
_CORRELATION = np.exp(-np.hypot(_ROWS[:, None] - _ROWS, _COLUMNS[:, None] - _COLUMNS) / _RANGE)
_BASIS = np.kron(*[dct(np.eye(BLOCK), axis=0, norm="ortho")] * 2)  # (64 coefficients, 64 pixels)


class Likelihood:
    """Of the areas of one picture; what was computed is kept.

    Args:
        gray: (H, W) float32, luminance; JPEG's blocks begin in its corner. table: (8, 8) quantization steps.
        check: called again and again; what it raises ends the work.
    """

    def __init__(self, gray: np.ndarray, table: np.ndarray, check: Callable[[], None]):
        self._check = check
        self._gray = gray.astype(np.float64)
        mean, square = (gaussian_filter(of, _WINDOW, mode="nearest") for of in (self._gray, self._gray**2))
        self._contrast = np.sqrt(np.maximum(square - mean**2, _CONTRAST**2))
        padded = np.pad(self._gray, [(0, -n % BLOCK) for n in gray.shape], mode="edge")
        coefficients = blocks_of(padded).reshape(*(n // BLOCK for n in padded.shape), BLOCK**2) @ _BASIS.T
        small = np.abs(coefficients) < table.ravel() / 2
        self._errors = np.where(small, _ZERO, _ROUNDED) * table.ravel().astype(np.float64) ** 2 + _ROUNDING  # variances
        self._known: dict[tuple, float] = {}
        self._tile = lru_cache(maxsize=2 * _MOST_TILES)(self._tile)  # a megabyte each

    def evidence(self, box: Box) -> float:
        """Log-likelihood ratio, natural logarithm, of an area being pixelated to nothing being so; of a large area,
        that of `_MOST_TILES` tiles."""
        return self._sum(box, _some(_tiles_of([box])))

    def refined(self, box: Box, steps: Steps) -> Box:
        """The likeliest area near one that was found by steps; with no change the steps say much less of it."""
        return self._likeliest([self._climbed(box, steps, order) for order in ((_grids, _sides), (_sides, _grids))])

    def _climbed(self, box: Box, steps: Steps, order: tuple[Callable, ...]) -> Box:
        for _ in range(_ROUNDS):
            before = box
            for changes in order:  # each made from the area as it was before all of them
                for options in changes(box, *self._gray.shape):
                    self._check()
                    here, worth = steps.score(box), {other: steps.score(other) for other in options}
                    least = here - _WORSE * abs(here)
                    likely = sorted((other for other in options if worth[other] >= least), key=worth.get)
                    box = self._likeliest([box, *likely[-_OPTIONS:]])
            if box == before:
                break
        return box

    def _likeliest(self, boxes: list[Box]) -> Box:
        tiles = _some([tile for tile in _tiles_of(boxes) if len({_seen(box, *tile) for box in boxes}) > 1])
        return max(boxes, key=lambda box: self._sum(box, tiles) - _CORNER * ((box.px > 0) + (box.py > 0)))

    def _sum(self, box: Box, tiles: list[tuple[int, int]]) -> float:
        return sum(self._log_density(tile, _seen(box, *tile)) - self._log_density(tile, None) for tile in tiles)

    def _log_density(self, tile: tuple[int, int], seen: Box | None) -> float:
        """Of the pixels of a tile, up to a constant, with what is seen there of a pixelated area."""
        if (tile, seen) not in self._known:
            self._known[tile, seen] = self._computed(*tile, seen)
        return self._known[tile, seen]

    def _computed(self, x: int, y: int, seen: Box | None) -> float:
        off, photo, noise = self._tile(x, y)
        covariance = photo.copy()
        if seen is not None:
            _pixelate(covariance, seen.moved(-x, -y), *off.shape)
        covariance += noise
        root = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        rest = solve_triangular(root, off.ravel(), lower=True, check_finite=False)
        return float(-rest @ rest / 2 - np.log(np.diag(root)).sum())

    def _tile(self, x: int, y: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pixels of a tile less their mean, and the covariances of a photo's pixels and of JPEG's errors there."""
        part = np.s_[y : y + _TILE, x : x + _TILE]
        pixels, contrast = self._gray[part], self._contrast[part].ravel()
        noise = np.zeros((_TILE**2,) * 2)
        errors = self._errors[y // BLOCK : (y + _TILE) // BLOCK, x // BLOCK : (x + _TILE) // BLOCK]
        for row, column in np.ndindex(errors.shape[:2]):
            places = np.flatnonzero((row == _ROWS // BLOCK) & (column == _COLUMNS // BLOCK))
            noise[np.ix_(places, places)] = (_BASIS.T * errors[row, column]) @ _BASIS
        there = np.flatnonzero((pixels.shape[0] > _ROWS) & (pixels.shape[1] > _COLUMNS))  # less where the picture ends
        photo = _CORRELATION[np.ix_(there, there)] * contrast * contrast[:, None] + _LEVEL**2
        return pixels - pixels.mean(), photo, noise[np.ix_(there, there)]


def _pixelate(covariance: np.ndarray, box: Box, high: int, wide: int) -> None:
    """Make the covariance of a photo's pixels, row by row, that of the pixels after an area was pixelated."""
    rows, columns = np.arange(high), np.arange(wide)
    down, across = (rows - box.y0 + box.py) // box.size, (columns - box.x0 + box.px) // box.size
    within = ((rows >= box.y0) & (rows < box.y1))[:, None] & ((columns >= box.x0) & (columns < box.x1))
    inside = np.flatnonzero(within)
    _, cells = np.unique((down[:, None] * _TILE + across)[within], return_inverse=True)
    means = np.equal.outer(np.arange(cells.max() + 1), cells).astype(np.float64)
    means /= means.sum(axis=1, keepdims=True)
    blocks = means @ covariance[inside]  # (blocks, pixels)
    among = blocks[:, inside] @ means.T + _ROUNDING * np.eye(len(means))
    covariance[inside] = blocks[cells]
    covariance[:, inside] = blocks[cells].T
    covariance[np.ix_(inside, inside)] = among[np.ix_(cells, cells)]


def _tiles_of(boxes: list[Box]) -> list[tuple[int, int]]:
    """x and y of the tiles in which something of the areas lies."""
    x0, y0, x1, y1 = (
        of(side) for of, side in zip((min, min, max, max), list(zip(*boxes, strict=True))[:4], strict=True)
    )
    across, down = (range(start // _TILE * _TILE, stop, _TILE) for start, stop in ((x0, x1), (y0, y1)))
    return [(x, y) for y in down for x in across]


def _some(tiles: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The tiles, of many always the same few from all over."""
    return [tiles[k] for k in sorted(np.random.default_rng(0).permutation(len(tiles))[:_MOST_TILES])]


def _seen(box: Box, x: int, y: int) -> Box | None:
    """What is seen of an area in a tile, the same for all that look the same there; None: nothing."""
    x0, y0, x1, y1 = max(box.x0, x), max(box.y0, y), min(box.x1, x + _TILE), min(box.y1, y + _TILE)
    if x0 >= x1 or y0 >= y1:
        return None
    size, px, py = box.size, (box.px + x0 - box.x0) % box.size, (box.py + y0 - box.y0) % box.size
    if size - px >= x1 - x0 and size - py >= y1 - y0:
        size, px, py = 2 * _TILE, 0, 0  # one block
    return Box(x0, y0, x1, y1, size, px, py)


def _grids(box: Box, high: int, wide: int) -> Iterator[list[Box]]:
    """Areas that differ from one in the size of the blocks, or in how much the first ones lack."""
    longest = max(box.x1 - box.x0, box.y1 - box.y0)
    sizes = range(LEAST_BLOCK, min(MOST_BLOCK, longest) + 1)
    yield [other for size in sizes if (other := box._replace(size=size, px=0, py=0)) != box]
    for lacks in ("px", "py"):
        yield [box._replace(**{lacks: offset}) for offset in range(box.size)]


def _sides(box: Box, high: int, wide: int) -> Iterator[list[Box]]:
    """Areas with one side moved, by little or to a line: the grid stays, moves with it, or changes its size."""
    for first, last, lacks, length in (("x0", "x1", "px", wide), ("y0", "y1", "py", high)):
        start, stop, offset, size = (getattr(box, name) for name in (first, last, lacks, "size"))
        line = start - offset + (stop - 1 - start + offset) // size * size  # the last one
        ends = {stop + by for by in range(-_NEAR, _NEAR + 1)} | {line + by * size for by in (-1, 0, 1, 2)}
        options = {box._replace(**{last: end}) for end in ends}
        options |= {box._replace(**{last: stop + by, lacks: (start - stop) % size}) for by in range(1, _NEAR + 1)}
        yield [other for other in sorted(options) if start + LEAST_BLOCK <= getattr(other, last) <= length]
        begins = {start + by for by in range(-_NEAR, _NEAR + 1)} | {start - offset + by * size for by in (-1, 0, 1, 2)}
        options = set()
        for begin in begins:
            moved, by = box._replace(**{first: begin}), begin - start
            options |= {moved._replace(**{lacks: 0}), moved._replace(**{lacks: (offset + by) % size})}
            options |= {moved._replace(size=size + by), moved._replace(size=size - by)}
        yield [
            other
            for other in sorted(options)
            if 0 <= getattr(other, first) <= stop - LEAST_BLOCK
            and max(LEAST_BLOCK, other.px + 1, other.py + 1) <= other.size <= MOST_BLOCK
        ]
