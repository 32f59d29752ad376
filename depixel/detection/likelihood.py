"""How likely a JPEG's pixels are, were an area of it pixelated: from what pixelation and JPEG do to a photo.

The photo is a Gaussian process with an exponential covariance, as in `baselines.Kriging`, and with the contrast that is
seen around each pixel; around those of the photo, without the area's, which would make smooth surroundings look as if
they had been smoothed. Pixelation takes means of it; JPEG rounds the coefficients of 8 x 8 pixels to multiples of its
steps. With that rounding as noise, all is linear: the pixels are normally distributed, and under the right area and
blocks they are likeliest. As their contrast is a guess, a factor of it is left open, one for each tile of the picture:
that makes it a t-distribution. So that it can be computed quickly, tiles count as independent of each other.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from threadpoolctl import threadpool_limits

from depixel.areas.grid import MOST_BLOCK
from depixel.detection.boxes import Box
from depixel.detection.jpeg import BASIS, BLOCK, LEAST_BLOCK, blocks_of
from depixel.detection.steps import Steps
from depixel.detection.watch import Watch
from depixel.scoring.covariance import covariance

_WINDOW = 3.0  # pixels, standard deviation of the window in which contrast is seen
_AROUND = 8  # pixels around a tile of which contrast is taken, too
_CONTRAST = 1.0  # the least, gray levels
_FREEDOM = 30.0  # degrees of the t-distribution
_LEVEL = 40.0  # standard deviation of a tile's level, gray levels
_ROUNDING = 1 / 12  # variance
_ROUNDED, _ZERO = 1 / 12, 1 / 4  # variances of a coefficient, in steps; of one that is 0 only a bound is known

_WORTH, _WORTH_OF_MEGAPIXEL = 1800, 3000  # tiles that are computed, each about 1.5 ms with what is around it
_TILE = 16  # pixels, a multiple of JPEG's blocks
_MOST_TILES = 24  # of a large area, as many are enough, from all over
_FEW_TILES, _FEW_BOXES = 8, 6  # tiles by which areas are compared first, and areas that are then compared by more
_CORNER = 16.0  # by how much a grid that begins at the area's corner is likelier than another, in each direction
_ROUNDS = 4
_NEAR = 4  # pixels that a side is moved by
_OPTIONS = 16  # of one change
_MOST_SIZES = 32  # of blocks
_INTO = 0.03  # share of an area that another one may cover
_WORSE = 0.3  # share of what the steps say of an area that a change may cost
_SAY = 0.05  # of the steps, in what is likeliest; the network is surer than it should be

_ROWS, _COLUMNS = (place.ravel() for place in np.indices((_TILE, _TILE)))
_CORRELATION = covariance(_ROWS[:, None] - _ROWS, _COLUMNS[:, None] - _COLUMNS)
_WITHIN = slice(_AROUND, _AROUND + _TILE)
_BLUR = np.exp(-((np.arange(-_AROUND, _TILE + _AROUND)[:, None] - np.arange(_TILE)) ** 2) / (2 * _WINDOW**2))
_BASIS = np.kron(BASIS, BASIS)  # (64 coefficients, 64 pixels)


def _one_thread() -> threadpool_limits:
    """The matrices are small: two threads take twice as long as one."""
    return threadpool_limits(limits=1)


class Likelihood:
    """Of the areas of one picture; what was computed is kept.

    Args:
        gray: (H, W) float32, luminance; JPEG's blocks begin in its corner. table: (8, 8) quantization steps.
        check: called again and again.
    """

    def __init__(self, gray: np.ndarray, table: np.ndarray, check: Watch = Watch()):  # noqa: B008
        self._check = check
        self._gray = gray.astype(np.float64)
        around = [(_AROUND, _AROUND + -n % _TILE) for n in gray.shape]
        self._around, self._exists = np.pad(self._gray, around), np.pad(np.ones(gray.shape), around)
        padded = np.pad(self._gray, [(0, -n % BLOCK) for n in gray.shape], mode="edge")
        coefficients = blocks_of(padded).reshape(*(n // BLOCK for n in padded.shape), BLOCK**2) @ _BASIS.T
        small = np.abs(coefficients) < table.ravel() / 2
        self._errors = np.where(small, _ZERO, _ROUNDED) * table.ravel().astype(np.float64) ** 2 + _ROUNDING  # variances
        self._known: dict[tuple[tuple[int, int], Box | None], float] = {}
        self._left_out: frozenset[tuple[int, int]] = frozenset()
        self._tile = lru_cache(maxsize=2 * _MOST_TILES)(self._cut_out)  # a megabyte each

    @property
    def is_spent(self) -> bool:
        """Whether as much has been computed as a picture of this size is worth: about 3 s, and 5 s a megapixel."""
        return len(self._known) > _WORTH + _WORTH_OF_MEGAPIXEL * self._gray.size / 1e6

    def leave_out(self, box: Box, other: np.ndarray | None) -> None:
        """From now on, leave out tiles that show some of these pixels of an area, (h, w) bool; None: none of them."""
        rows, columns = np.nonzero(np.zeros((1, 1)) if other is None else other)
        tiles = np.unique(np.stack([(columns + box.x0) // _TILE, (rows + box.y0) // _TILE]), axis=1) * _TILE
        self._left_out = frozenset(map(tuple, tiles.T.tolist()))

    def evidence(self, box: Box, most: int = _MOST_TILES) -> float:
        """Log-likelihood ratio, natural logarithm, of an area being pixelated to nothing being so; of a large area,
        that of `most` tiles."""
        with _one_thread():
            return self._sum(box, _some(self._tiles_of([box]), most))

    def advantage(self, box: Box, other: Box) -> float:
        """By how much one area is likelier than another, natural logarithm; of large ones, in `_MOST_TILES` tiles."""
        with _one_thread():
            tiles = _some(self._tiles_of([box, other]), _MOST_TILES)
            return self._sum(box, tiles) - self._sum(other, tiles)

    def with_size(self, box: Box) -> Box:
        """The area with blocks of the size under which it is likeliest, all from its corner on; of many sizes, those
        are compared whose lines stand out most, in steps per their standard error."""
        area = self._gray[box.y0 : box.y1, box.x0 : box.x1]
        steps = [np.abs(np.diff(area, axis=axis)).mean(axis=1 - axis) for axis in (1, 0)]
        usual = np.concatenate(steps).mean()

        def stand_out(one: Box) -> float:
            on = np.concatenate([of[one.size - 1 :: one.size] for of in steps])
            return float((on - usual).sum() / max(len(on), 1) ** 0.5)

        sizes = sorted(_sizes(box, *self._gray.shape), key=stand_out, reverse=True)[:_MOST_SIZES]
        with _one_thread():
            return self._likeliest(sizes, lambda one: 0.0, _FEW_TILES)

    def refined(self, box: Box, steps: Steps, beside: Sequence[Box] = ()) -> Box:
        """The likeliest area near one that was found by steps; with no change the steps say much less of it. beside:
        other areas, into which it does not grow."""

        def prior(one: Box) -> float:
            return _SAY * steps.score(one) - _CORNER * ((one.offset_x > 0) + (one.offset_y > 0))

        orders = (_GRIDS + _SIDES, _SIDES + _GRIDS)
        with _one_thread():
            return self._likeliest([self._climbed(box, steps, prior, order, beside) for order in orders], prior)

    def _climbed(
        self,
        box: Box,
        steps: Steps,
        prior: Callable[[Box], float],
        order: "tuple[_Change, ...]",
        beside: Sequence[Box] = (),
    ) -> Box:
        for _ in range(_ROUNDS):
            before = box
            for change in order:
                changed = change(box, *self._gray.shape)
                changed = [one for one in changed if all(one.overlap(other) < _INTO for other in beside)]
                here, worth = steps.score(box), {other: steps.score(other) for other in changed}
                least = here - _WORSE * abs(here)
                likely = sorted((other for other in worth if worth[other] >= least), key=lambda other: worth[other])
                places = {other[:4]: other for other in likely}
                likely.sort(key=lambda other: places[other[:4]] == other)  # first of all, the best grid of each place
                box = self._likeliest([box, *likely[-_OPTIONS:]], prior)
            if box == before:
                break
        return box

    def _likeliest(self, boxes: list[Box], prior: Callable[[Box], float], many: int = _MOST_TILES) -> Box:
        """By the tiles where they differ. Where these are more than `many`, a few say which areas to compare."""
        tiles = [tile for tile in self._tiles_of(boxes) if len({_seen(box, tile) for box in boxes}) > 1]
        if len(tiles) > many:
            few = _some(tiles, _FEW_TILES)
            boxes = sorted(boxes, key=lambda box: -self._sum(box, few) - prior(box))[:_FEW_BOXES]
        most = _some(tiles, _MOST_TILES)
        return max(boxes, key=lambda box: self._sum(box, most) + prior(box))

    def _sum(self, box: Box, tiles: list[tuple[int, int]]) -> float:
        return sum(self._log_density(tile, _seen(box, tile)) - self._log_density(tile, None) for tile in tiles)

    def _tiles_of(self, boxes: list[Box]) -> list[tuple[int, int]]:
        """The x and y of the tiles in or around which something of the areas lies."""
        sides = list(zip(*boxes, strict=True))
        across, down = (
            range(max(min(first) - _AROUND, 0) // _TILE * _TILE, min(max(last) + _AROUND, length), _TILE)
            for first, last, length in zip(sides[:2], sides[2:4], self._gray.shape[::-1], strict=True)
        )
        return [(x, y) for y in down for x in across if (x, y) not in self._left_out]

    def _log_density(self, tile: tuple[int, int], seen: Box | None) -> float:
        """Of the pixels of a tile, up to a constant, with what is seen there of a pixelated area."""
        if (tile, seen) not in self._known:
            self._known[tile, seen] = self._computed(tile, seen)
        return self._known[tile, seen]

    def _computed(self, tile: tuple[int, int], seen: Box | None) -> float:
        self._check()
        off, correlation, noise = self._tile(tile)
        contrast = self._contrast(tile, seen)[: len(off), : off.shape[1]].ravel()
        covariance = correlation * contrast * contrast[:, None] + _LEVEL**2
        here = seen and _cut(seen, 0, _TILE)
        if here:
            _pixelate(covariance, here, *off.shape)
        covariance += noise
        root = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        rest = solve_triangular(root, off.ravel(), lower=True, check_finite=False)
        return float(-(_FREEDOM + off.size) / 2 * np.log1p(rest @ rest / _FREEDOM) - np.log(np.diag(root)).sum())

    def _contrast(self, tile: tuple[int, int], seen: Box | None) -> np.ndarray:
        """(_TILE, _TILE): standard deviations around the pixels, gray levels."""
        x, y = tile
        window = np.s_[y : y + len(_BLUR), x : x + len(_BLUR)]
        gray, exists = self._around[window], self._exists[window]
        if seen is None:
            return _deviation(gray, exists)
        photo = exists.copy()
        photo[seen.y0 + _AROUND : seen.y1 + _AROUND, seen.x0 + _AROUND : seen.x1 + _AROUND] = 0
        return np.where(photo[_WITHIN, _WITHIN], _deviation(gray, photo), _deviation(gray, exists))

    def _cut_out(self, tile: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pixels of a tile less their mean, as a picture; their correlation in a photo, and JPEG's errors'
        covariance."""
        x, y = tile
        part = np.s_[y : y + _TILE, x : x + _TILE]
        pixels = self._gray[part]
        noise = np.zeros((_TILE**2,) * 2)
        errors = self._errors[y // BLOCK : (y + _TILE) // BLOCK, x // BLOCK : (x + _TILE) // BLOCK]
        for row, column in np.ndindex(errors.shape[:2]):
            places = np.flatnonzero((row == _ROWS // BLOCK) & (column == _COLUMNS // BLOCK))
            noise[np.ix_(places, places)] = (_BASIS.T * errors[row, column]) @ _BASIS
        there = np.flatnonzero((pixels.shape[0] > _ROWS) & (pixels.shape[1] > _COLUMNS))  # less where the picture ends
        among = np.ix_(there, there)
        return pixels - pixels.mean(), _CORRELATION[among], noise[among]


def _deviation(gray: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(_TILE, _TILE): the standard deviation around each pixel, of those in the window that count (1; others 0)."""
    weight, mean, square = (_BLUR.T @ of @ _BLUR for of in (counts, counts * gray, counts * gray**2))
    weight = np.maximum(weight, 1e-9)
    return np.sqrt(np.maximum(square / weight - (mean / weight) ** 2, _CONTRAST**2))


def _pixelate(covariance: np.ndarray, box: Box, high: int, wide: int) -> None:
    """Make the covariance of a photo's pixels, row by row, that of the pixels after an area was pixelated."""
    rows, columns = np.arange(high), np.arange(wide)
    if box.grid is None:
        down, across = (rows - box.y0 + box.offset_y) // box.size, (columns - box.x0 + box.offset_x) // box.size
    else:
        lefts, tops = box.grid.begins(box.x1 - box.x0, box.y1 - box.y0)
        down = np.searchsorted(tops, rows - box.y0, "right")
        across = np.searchsorted(lefts, columns - box.x0, "right")
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


def _some(tiles: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The tiles, of many always the same few from all over."""
    return [tiles[k] for k in sorted(np.random.default_rng(0).permutation(len(tiles))[:most])]


def _seen(box: Box, tile: tuple[int, int]) -> Box | None:
    """What is seen of an area in and around a tile, the same for all that look the same, as if the tile were at 0."""
    seen = _cut(box.moved(-tile[0], -tile[1]), -_AROUND, _TILE + _AROUND)
    if not seen:
        return None
    if seen.grid is None:
        one_block = seen.size - seen.offset_x >= seen.x1 - seen.x0 and seen.size - seen.offset_y >= seen.y1 - seen.y0
    else:
        one_block = all(len(of) == 1 for of in seen.grid.begins(seen.x1 - seen.x0, seen.y1 - seen.y0))
    if one_block or not _cut(seen, 0, _TILE):  # only for the contrast around the tile it does not matter of which size
        return seen._replace(size=len(_BLUR), offset_x=0, offset_y=0, grid=None)
    return seen


def _cut(box: Box, low: int, high: int) -> Box | None:
    """The part of an area that lies within [low, high) along both axes; None: nothing."""
    x0, y0, x1, y1 = max(box.x0, low), max(box.y0, low), min(box.x1, high), min(box.y1, high)
    if x0 >= x1 or y0 >= y1:
        return None
    offsets = (box.offset_x + x0 - box.x0) % box.size, (box.offset_y + y0 - box.y0) % box.size
    return Box(x0, y0, x1, y1, box.size, *offsets, box.grid and box.grid.at(x0 - box.x0, y0 - box.y0))


def _sizes(box: Box, high: int, wide: int) -> list[Box]:
    """Areas with blocks of any size that begin at the corner."""
    most = min(max(box.x1 - box.x0, box.y1 - box.y0, LEAST_BLOCK), MOST_BLOCK)
    return [box._replace(size=size, offset_x=0, offset_y=0) for size in range(LEAST_BLOCK, most + 1)]


def _changed(box: Box, numbers: dict[str, int]) -> Box:
    values: dict[str, Any] = dict(numbers)
    return box._replace(**values)


def _offsets(offset_name: str, box: Box, high: int, wide: int) -> list[Box]:
    """Areas whose first blocks lack more or less."""
    return [_changed(box, {offset_name: offset}) for offset in range(box.size)]


def _ends(first: str, last: str, offset_name: str, box: Box, high: int, wide: int) -> list[Box]:
    """Areas that end elsewhere, by little or at a line; the grid stays, or begins as if the area ended with a block."""
    start, stop, offset, size = (getattr(box, name) for name in (first, last, offset_name, "size"))
    line = start - offset + (stop - 1 - start + offset) // size * size  # the last one
    ends = {stop + by for by in range(-_NEAR, _NEAR + 1)} | {line + by * size for by in (-1, 0, 1, 2)}
    options = {_changed(box, {last: end}) for end in ends}
    options |= {_changed(box, {last: stop + by, offset_name: (start - stop) % size}) for by in range(1, _NEAR + 1)}
    length = wide if last == "x1" else high
    return [other for other in sorted(options) if start + LEAST_BLOCK <= getattr(other, last) <= length]


def _begins(first: str, last: str, offset_name: str, box: Box, high: int, wide: int) -> list[Box]:
    """Areas that begin elsewhere, by little or at a line; the grid stays, moves with it, or changes its size."""
    start, stop, offset, size = (getattr(box, name) for name in (first, last, offset_name, "size"))
    begins = {start + by for by in range(-_NEAR, _NEAR + 1)} | {start - offset + by * size for by in (-1, 0, 1, 2)}
    options = set()
    for begin in begins:
        moved, by = _changed(box, {first: begin}), begin - start
        options |= {_changed(moved, {offset_name: 0}), _changed(moved, {offset_name: (offset + by) % size})}
        options |= {moved._replace(size=size + by), moved._replace(size=size - by)}
    return [
        other
        for other in sorted(options)
        if 0 <= getattr(other, first) <= stop - LEAST_BLOCK
        and max(LEAST_BLOCK, other.offset_x + 1, other.offset_y + 1) <= other.size <= MOST_BLOCK
    ]


_Change = Callable[[Box, int, int], list[Box]]  # of an area in a picture so high and wide
_GRIDS: tuple[_Change, ...] = (_sizes, partial(_offsets, "offset_x"), partial(_offsets, "offset_y"))
_SIDES: tuple[_Change, ...] = tuple(
    partial(change, *axis)
    for axis in (("x0", "x1", "offset_x"), ("y0", "y1", "offset_y"))
    for change in (_ends, _begins)
)
