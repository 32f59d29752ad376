"""The likelihood of a JPEG's pixels if an area of it was pixelated, from a model of photo, pixelation and JPEG.

The photo is a Gaussian process with an exponential covariance, as in `baselines.Kriging`. Its standard deviation at
each pixel is the contrast around that pixel. Around pixels of the photo the area's pixels do not count, because they
would lower the contrast, and smooth surroundings would look pixelated. Pixelation takes means of the photo. JPEG
rounds the coefficients of 8 x 8 pixels to multiples of its steps. With that rounding as noise, everything is linear:
the pixels are normally distributed, and the right area and blocks make them likeliest. The contrast is only an
estimate, so an unknown factor of it, one for each tile of the picture, turns the distribution into a t-distribution.
To save time, tiles count as independent of each other.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
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

_WINDOW = 3.0  # pixels: standard deviation of the window in which contrast is measured
_AROUND = 8  # pixels around a tile that count for its contrast, too
_CONTRAST = 1.0  # gray levels, lower limit of the contrast
_FREEDOM = 30.0  # degrees of freedom of the t-distribution
_LEVEL = 40.0  # gray levels: standard deviation of a tile's mean
_ROUNDING = 1 / 12  # variance of rounding a pixel
_ROUNDED, _ZERO = 1 / 12, 1 / 4  # variance of a coefficient's rounding, in squared steps; a zero is only bounded

_WORTH, _WORTH_OF_MEGAPIXEL = 1800, 3000  # largest number of tiles that are computed, each in about 1.5 ms
_TILE = 16  # pixels, a multiple of JPEG's blocks
_MOST_TILES = 24  # this many tiles from all over a large area are enough
_FEW_TILES, _FEW_BOXES = 8, 6  # few tiles decide which few areas are compared by more tiles
_CORNER = 16.0  # log prior odds of a grid that begins at the area's corner, along each axis
_WHOLE = 16.0  # log prior odds of blocks of whole pixels
_ROUNDS = 4
_NEAR = 4  # pixels: largest change of a side
_OPTIONS = 16  # largest number of options that are compared at a time
_MOST_SIZES = 32  # largest number of block sizes that are compared
_INTO = 0.03  # largest share of an area that another one may cover
_WORSE = 0.3  # largest share of the steps' sum that a change may cost
_ALONG = 3, 8  # number of tiles along a side that decide its place, and if it is not clear by the first
_CLEAR = 20.0  # log odds from which a place is clear
_BEYOND = 12  # pixels beyond a side where steps tell whether the surroundings look like blocks
_SAY = 0.05  # weight of the steps' sum beside the likelihood; low because the network is overconfident

_ROWS, _COLUMNS = (place.ravel() for place in np.indices((_TILE, _TILE)))
_CORRELATION = covariance(_ROWS[:, None] - _ROWS, _COLUMNS[:, None] - _COLUMNS)
_WITHIN = slice(_AROUND, _AROUND + _TILE)
_BLUR = np.exp(-((np.arange(-_AROUND, _TILE + _AROUND)[:, None] - np.arange(_TILE)) ** 2) / (2 * _WINDOW**2))
_BASIS = np.kron(BASIS, BASIS)  # (64 coefficients, 64 pixels)


def _one_thread() -> threadpool_limits:
    """Limit BLAS to one thread: on these small matrices, two threads take twice as long."""
    return threadpool_limits(limits=1)


class Likelihood:
    """The likelihood of areas in one picture, with a cache.

    Args:
        gray: (H, W) float32, luminance, 0..255; JPEG's blocks begin in its corner.
        table: (8, 8) quantization steps.
        check: called repeatedly; an exception from it ends the computation.
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
        self._tile = lru_cache(maxsize=2 * _MOST_TILES)(self._cut_out)  # 1 MB each

    @property
    def is_spent(self) -> bool:
        """Whether the time budget is spent: about 3 s, plus 5 s per megapixel of the picture."""
        return len(self._known) > _WORTH + _WORTH_OF_MEGAPIXEL * self._gray.size / 1e6

    def leave_out(self, box: Box, other: np.ndarray | None) -> None:
        """From now on, skip tiles with any of these pixels of an area, (h, w) bool; None: skip no tile."""
        rows, columns = np.nonzero(np.zeros((1, 1)) if other is None else other)
        tiles = np.unique(np.stack([(columns + box.x0) // _TILE, (rows + box.y0) // _TILE]), axis=1) * _TILE
        self._left_out = frozenset(map(tuple, tiles.T.tolist()))

    def evidence(self, box: Box, most: int = _MOST_TILES) -> float:
        """Log-likelihood ratio, natural logarithm, of the area being pixelated to nothing being pixelated.

        In a large area only `most` tiles count.
        """
        with _one_thread():
            return self._sum(box, _some(self._tiles_of([box]), most))

    def advantage(self, box: Box, other: Box) -> float:
        """Log-likelihood ratio, natural logarithm, of one area to another, in at most `_MOST_TILES` tiles."""
        with _one_thread():
            tiles = _some(self._tiles_of([box, other]), _MOST_TILES)
            return self._sum(box, tiles) - self._sum(other, tiles)

    def with_size(self, box: Box) -> Box:
        """The area with its likeliest block size; blocks begin at its corner.

        Only the sizes whose lines stand out most are compared: by the excess of the steps there over the mean, divided
        by its standard error.
        """
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
        """Find the likeliest area near one that the steps found, by hill climbing.

        Args:
            box: the area that the steps found.
            steps: the log-likelihood ratios of all steps; no change may reduce their sum much.
            beside: other areas, which it must not enter.
        """

        def prior(one: Box) -> float:
            return _SAY * steps.score(one) - _CORNER * ((one.offset_x > 0) + (one.offset_y > 0))

        orders = (_GRIDS + _SIDES, _SIDES + _GRIDS)
        with _one_thread():
            return self._likeliest([self._climbed(box, steps, prior, order, beside) for order in orders], prior)

    def placed(self, box: Box, steps: Steps) -> tuple[Box, float]:
        """Move each side to its likeliest place by the tiles along it; `refined` takes tiles from all over the area.

        Args:
            box: the likeliest area by all of its pixels.
            steps: the log-likelihood ratios of all steps.

        Returns:
            The area, and the least of its sides' log odds to places more than a pixel away; 0 if it would move on.
        """
        with _one_thread():
            for _ in range(_ROUNDS):
                before, lead = box, np.inf
                for side in range(4):
                    box, least = self._moved(box, side, steps)
                    lead = min(lead, least)
                if max(abs(one - other) for one, other in zip(box[:4], before[:4], strict=True)) <= 1:
                    return box, lead
        return box, 0.0

    def size_lead(self, box: Box) -> float:
        """Log odds of an area's blocks to blocks of which the last line is a pixel away, along either axis.

        Blocks that hardly differ in size differ most there. Whole pixels are likelier beforehand. Infinite if there is
        no line.
        """
        grid, leads = box.area.grid._replace(lines_x=None, lines_y=None), []
        prior = _WHOLE if grid.is_whole else 0.0
        with _one_thread():
            for axis, lines in enumerate(box.lines()):
                one = grid if axis == 0 else grid.turned
                for by in (-1, 1) if len(lines) else ():
                    other = one._replace(width=one.width + Fraction(by, len(lines)))
                    rival = box._replace(grid=other if axis == 0 else other.turned)
                    tiles = _some(self._along([box], axis, int(lines[-1]), 1), _ALONG[1])
                    leads.append(self._sum(box, tiles) - self._sum(rival, tiles) + prior)
        return min(leads, default=np.inf)

    def _moved(self, box: Box, side: int, steps: Steps) -> tuple[Box, float]:
        """The area with a side at its likeliest place, and its log odds to the next place more than a pixel away."""
        high, wide = self._gray.shape
        places = {by: _with_side(box, side, by) for by in range(-_BEYOND, _BEYOND + 1)}
        places = {by: at for by, at in places.items() if 0 <= at.x0 < at.x1 <= wide and 0 <= at.y0 < at.y1 <= high}
        said = {by: _SAY * steps.score(at) for by, at in places.items()}
        near = [by for by in places if abs(by) <= _NEAR]
        out = max(places) if side >= 2 else min(places)
        if said[out] > max(said[by] for by in near if by != out):
            said = dict.fromkeys(places, 0.0)  # the surroundings step like blocks, too
        along = self._along([places[by] for by in near], side % 2, (box.x0, box.y0, box.x1, box.y1)[side], _NEAR)
        best, lead = 0, 0.0
        for many in _ALONG:
            tiles = _some(along, many)
            worth = {by: self._sum(places[by], tiles) + said[by] - _CORNER * len(places[by].odd()) for by in near}
            best = max(worth, key=lambda by: worth[by])
            others = sorted((worth[best] - worth[by], abs(by - best) > 1) for by in near if by != best)
            lead = next((less for less, is_rival in others if is_rival), 0.0)
            if others and others[0][0] > _CLEAR:
                break
        return places[best], lead

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
                likely.sort(key=lambda other: places[other[:4]] == other)  # prefer the best grid of each place
                box = self._likeliest([box, *likely[-_OPTIONS:]], prior)
            if box == before:
                break
        return box

    def _likeliest(self, boxes: list[Box], prior: Callable[[Box], float], many: int = _MOST_TILES) -> Box:
        """The likeliest box, by the tiles where they differ. If there are more than `many`, a few tiles preselect."""
        tiles = [tile for tile in self._tiles_of(boxes) if _differ(boxes, tile)]
        if len(tiles) > many:
            few = _some(tiles, _FEW_TILES)
            boxes = sorted(boxes, key=lambda box: -self._sum(box, few) - prior(box))[:_FEW_BOXES]
        most = _some(tiles, _MOST_TILES)
        return max(boxes, key=lambda box: self._sum(box, most) + prior(box))

    def _sum(self, box: Box, tiles: list[tuple[int, int]]) -> float:
        return sum(self._log_density(tile, _seen(box, tile)) - self._log_density(tile, None) for tile in tiles)

    def _tiles_of(self, boxes: list[Box]) -> list[tuple[int, int]]:
        """The x and y of the tiles that the areas touch, or come near."""
        sides = list(zip(*boxes, strict=True))
        across, down = (
            range(max(min(first) - _AROUND, 0) // _TILE * _TILE, min(max(last) + _AROUND, length), _TILE)
            for first, last, length in zip(sides[:2], sides[2:4], self._gray.shape[::-1], strict=True)
        )
        return [(x, y) for y in down for x in across if (x, y) not in self._left_out]

    def _along(self, boxes: list[Box], axis: int, line: int, near: int) -> list[tuple[int, int]]:
        """The tiles of areas that lie along a line, at a column (axis 0) or row, or `near` pixels beside it."""
        return [tile for tile in self._tiles_of(boxes) if tile[axis] - near < line < tile[axis] + _TILE + near]

    def _log_density(self, tile: tuple[int, int], seen: Box | None) -> float:
        """Log density of a tile's pixels, up to a constant, if `seen` is the pixelated area there; cached."""
        if (tile, seen) not in self._known:
            self._known[tile, seen] = self._computed(tile, seen)
        return self._known[tile, seen]

    def _computed(self, tile: tuple[int, int], seen: Box | None) -> float:
        self._check()
        off, correlation, noise = self._tile(tile)
        contrast = self._contrast(tile, seen)[: len(off), : off.shape[1]].ravel()
        covariance = correlation * contrast * contrast[:, None] + _LEVEL**2
        here = seen and _cut(seen, (0, 0), 0)
        if here:
            _pixelate(covariance, here, *off.shape)
        covariance += noise
        root = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        rest = solve_triangular(root, off.ravel(), lower=True, check_finite=False)
        return float(-(_FREEDOM + off.size) / 2 * np.log1p(rest @ rest / _FREEDOM) - np.log(np.diag(root)).sum())

    def _contrast(self, tile: tuple[int, int], seen: Box | None) -> np.ndarray:
        """(_TILE, _TILE): the contrast at each pixel, gray levels."""
        x, y = tile
        window = np.s_[y : y + len(_BLUR), x : x + len(_BLUR)]
        gray, exists = self._around[window], self._exists[window]
        if seen is None:
            return _deviation(gray, exists)
        photo = exists.copy()
        photo[seen.y0 + _AROUND : seen.y1 + _AROUND, seen.x0 + _AROUND : seen.x1 + _AROUND] = 0
        return np.where(photo[_WITHIN, _WITHIN], _deviation(gray, photo), _deviation(gray, exists))

    def _cut_out(self, tile: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pixels of a tile minus their mean, (h, w); their correlation in a photo; JPEG's error covariance."""
        x, y = tile
        part = np.s_[y : y + _TILE, x : x + _TILE]
        pixels = self._gray[part]
        noise = np.zeros((_TILE**2,) * 2)
        errors = self._errors[y // BLOCK : (y + _TILE) // BLOCK, x // BLOCK : (x + _TILE) // BLOCK]
        for row, column in np.ndindex(errors.shape[:2]):
            places = np.flatnonzero((row == _ROWS // BLOCK) & (column == _COLUMNS // BLOCK))
            noise[np.ix_(places, places)] = (_BASIS.T * errors[row, column]) @ _BASIS
        there = np.flatnonzero((pixels.shape[0] > _ROWS) & (pixels.shape[1] > _COLUMNS))  # fewer at the picture's end
        among = np.ix_(there, there)
        return pixels - pixels.mean(), _CORRELATION[among], noise[among]


def _deviation(gray: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(_TILE, _TILE): the standard deviation around each pixel, over pixels with a count of 1, not 0."""
    weight, mean, square = (_BLUR.T @ of @ _BLUR for of in (counts, counts * gray, counts * gray**2))
    weight = np.maximum(weight, 1e-9)
    return np.sqrt(np.maximum(square / weight - (mean / weight) ** 2, _CONTRAST**2))


def _pixelate(covariance: np.ndarray, box: Box, high: int, wide: int) -> None:
    """Change the covariance of a photo's pixels, in row-major order, to that after pixelating an area; in place."""
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
    """At most `most` of the tiles, from all over; the same tiles give the same choice."""
    return [tiles[k] for k in sorted(np.random.default_rng(0).permutation(len(tiles))[:most])]


def _seen(box: Box, tile: tuple[int, int]) -> Box | None:
    """The part of an area in and around a tile, relative to the tile; None: nothing.

    Areas that look the same there give the same result, so that the cache works.
    """
    seen = _cut(box, tile, _AROUND)
    if not seen:
        return None
    if seen.grid is None:
        one_block = seen.size - seen.offset_x >= seen.x1 - seen.x0 and seen.size - seen.offset_y >= seen.y1 - seen.y0
    else:
        one_block = all(len(of) == 1 for of in seen.grid.begins(seen.x1 - seen.x0, seen.y1 - seen.y0))
    if one_block or not _cut(seen, (0, 0), 0):  # beside the tile, only the contrast counts and not the block size
        return seen._replace(size=len(_BLUR), offset_x=0, offset_y=0, grid=None)
    return seen


def _differ(boxes: list[Box], tile: tuple[int, int]) -> bool:
    """Whether areas differ in and around a tile."""
    first = _seen(boxes[0], tile)
    return any(_seen(box, tile) != first for box in boxes[1:])


def _cut(box: Box, tile: tuple[int, int], around: int) -> Box | None:
    """The part of an area in a tile and `around` pixels around it, relative to the tile; None: nothing."""
    left, top, right, bottom, size, offset_x, offset_y, grid = box
    x, y = tile
    x0, y0 = max(left, x - around), max(top, y - around)
    x1, y1 = min(right, x + _TILE + around), min(bottom, y + _TILE + around)
    if x0 >= x1 or y0 >= y1:
        return None
    offsets = (offset_x + x0 - left) % size, (offset_y + y0 - top) % size
    return Box(x0 - x, y0 - y, x1 - x, y1 - y, size, *offsets, grid and grid.at(x0 - left, y0 - top))


def _sizes(box: Box, high: int, wide: int) -> list[Box]:
    """The area with each block size; blocks begin at its corner."""
    most = min(max(box.x1 - box.x0, box.y1 - box.y0, LEAST_BLOCK), MOST_BLOCK)
    return [box._replace(size=size, offset_x=0, offset_y=0) for size in range(LEAST_BLOCK, most + 1)]


def _changed(box: Box, numbers: dict[str, int]) -> Box:
    values: dict[str, Any] = dict(numbers)
    return box._replace(**values)


def _with_side(box: Box, side: int, by: int) -> Box:
    """The area with one of its four sides moved, pixels; the grid stays."""
    sides = list(box[:4])
    sides[side] += by
    return box.with_sides(*sides).plain()


def _offsets(offset_name: str, box: Box, high: int, wide: int) -> list[Box]:
    """The area with each offset along an axis."""
    return [_changed(box, {offset_name: offset}) for offset in range(box.size)]


def _ends(first: str, last: str, offset_name: str, box: Box, high: int, wide: int) -> list[Box]:
    """The area with other ends: a few pixels away, or at a line. The grid stays, or fits a whole block at the end."""
    start, stop, offset, size = (getattr(box, name) for name in (first, last, offset_name, "size"))
    line = start - offset + (stop - 1 - start + offset) // size * size  # the last one
    ends = {stop + by for by in range(-_NEAR, _NEAR + 1)} | {line + by * size for by in (-1, 0, 1, 2)}
    options = {_changed(box, {last: end}) for end in ends}
    options |= {_changed(box, {last: stop + by, offset_name: (start - stop) % size}) for by in range(1, _NEAR + 1)}
    length = wide if last == "x1" else high
    return [other for other in sorted(options) if start + LEAST_BLOCK <= getattr(other, last) <= length]


def _begins(first: str, last: str, offset_name: str, box: Box, high: int, wide: int) -> list[Box]:
    """The area with other starts: a few pixels away, or at a line. The grid stays, moves along, or changes its size."""
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


_Change = Callable[[Box, int, int], list[Box]]  # takes an area, and height and width of the picture
_GRIDS: tuple[_Change, ...] = (_sizes, partial(_offsets, "offset_x"), partial(_offsets, "offset_y"))
_SIDES: tuple[_Change, ...] = tuple(
    partial(change, *axis)
    for axis in (("x0", "x1", "offset_x"), ("y0", "y1", "offset_y"))
    for change in (_ends, _begins)
)
