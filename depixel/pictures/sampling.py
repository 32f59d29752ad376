"""Estimation of block means for areas whose blocks show a single one of their pixels.

Tools make such blocks if they shrink a picture by nearest-neighbour sampling and enlarge it again. The model of the
pixels is a Gaussian process with an exponential covariance (`depixel.scoring.covariance`). The blocks and the known
pixels around the area determine which pixel of each block is shown, and the range of the covariance. Kriging then
estimates the means of blocks, and the network restores the area as if it showed these means.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from depixel.areas.area import ResolvedArea
from depixel.areas.grid import Grid, block_counts, block_means, spread
from depixel.pictures.pixels import LUMINANCE, scale_of, without_alpha
from depixel.scoring import covariance

Place = tuple[float, float]
"""The position of a pixel in its block, down and across, as shares of the block's sides, 0..1."""
MIDDLE, CORNER = (0.5, 0.5), (0.0, 0.0)
"""The places of the shown pixel: the middle in Pillow and ImageMagick, the corner in OpenCV and for every n-th pixel in
NumPy."""
MIXED = (0.0, 0.5), (0.5, 0.0)
"""The corner along one axis only. No tool makes it, but if it is as likely as the corner, one axis says nothing."""
SURE = 3.0
"""The log-likelihood by which the corner must exceed all other places, because a wrong corner costs more than a wrong
middle."""
REACHES = 1, 2, 4
"""The ranges that are tried, in blocks: distances over which the covariance of two pixels falls to 1/e."""
CHUNK, BESIDE = 12, 3
"""Number of blocks a side that are estimated together, and number of blocks around them that contribute."""
LOOKED_AT = 4
"""Maximum number of chunks that determine place and range: those with the most known pixels around."""
_NOISE = 1e-2  # share of the pixels' variance that is independent of the neighbours
_PARTS = 4  # a block's mean is that of this number of points along each side
_LEVEL = 0.2  # gray levels, so that in flat areas no place is likelier


class _Seen(NamedTuple):
    """Visible pixels: points (N, 2), row and column of their centers; values (N, C), gray levels 0..255."""

    points: np.ndarray
    values: np.ndarray


class _Fit(NamedTuple):
    """A Gaussian process that was fitted to visible pixels.

    Attributes:
        mean: (C,), gray levels.
        weights: (N, C), the kriging weight of each pixel.
        reach: distance over which the covariance falls to 1/e, pixels.
        likelihood: log-likelihood, with the tails of a Laplace distribution, because photos have edges.
    """

    mean: np.ndarray
    weights: np.ndarray
    reach: float
    likelihood: float


def showing_means(image: np.ndarray, areas: Sequence[ResolvedArea]) -> tuple[np.ndarray, list[ResolvedArea]]:
    """Convert a picture whose areas show single pixels to one whose areas show means.

    Args:
        image: a NumPy array, as for `Restorer.restore`.
        areas: its areas; each block shows one of its pixels.

    Returns:
        A copy of the picture with estimated block means in its areas. These areas in blocks that have the shown pixels
        in their middle; the first blocks may be cut off.
    """
    made, hidden = image.copy(), np.zeros(image.shape[:2], bool)
    for area in areas:
        hidden[area.part] |= True if area.mask is None else area.mask
    moved = []
    for area in areas:
        one = _Sampled(without_alpha(image), area, hidden)
        with threadpool_limits(1):  # the systems are small
            place, reach = one.likeliest()
            moved.append(one.around(place))
            means = one.means(place, reach, moved[-1].grid) * scale_of(image)
        inside = spread(means, moved[-1].grid, (area.height, area.width)).clip(0, np.iinfo(image.dtype).max).round()
        part = without_alpha(made)[area.part]
        part[:] = np.where(hidden[area.part][:, :, None], inside, part)
    return made, moved


class _Sampled:
    """An area in which each block shows one pixel, and the known pixels around it."""

    def __init__(self, colors: np.ndarray, area: ResolvedArea, hidden: np.ndarray):
        self.area, self.grid = area, area.grid
        self.sides = np.array([float(self.grid.height), float(self.grid.width)])
        inside = hidden[area.part][:, :, None]
        count = block_means(inside, self.grid)
        shown = block_means(colors[area.part] * inside, self.grid) / np.maximum(count, 1e-9) / scale_of(colors)
        self.hidden, self.shown, self.some = inside[:, :, 0], shown, count[:, :, 0] > 0
        visible = block_counts(area.height, area.width, self.grid)
        size = self.grid.width * self.grid.height
        self.whole = (count[:, :, 0] == 1) & (visible >= (size if self.grid.is_whole else 0.8 * float(size)))
        columns, rows = self.grid.begins(area.width, area.height)
        self.begins, self.extent = (rows, columns), (area.height, area.width)
        self.near = self._known(colors, hidden)

    def _known(self, colors: np.ndarray, hidden: np.ndarray) -> _Seen:
        """Known pixels in two rings around what is hidden, a third of a block apart."""
        from scipy.ndimage import distance_transform_cdt  # SciPy takes long to load

        apart = max(1, int(self.sides.min()) // 3)
        top, left = max(self.area.y - apart - 1, 0), max(self.area.x - apart - 1, 0)
        part = np.s_[top : self.area.y + self.area.height + apart + 1, left : self.area.x + self.area.width + apart + 1]
        distance = distance_transform_cdt(~hidden[part], "chessboard")
        rows, columns = np.nonzero((distance == 1) | (distance == 1 + apart))
        kept = (rows + columns) % apart == 0
        rows, columns = rows[kept], columns[kept]
        points = np.stack([rows + (top - self.area.y), columns + (left - self.area.x)], axis=1) + 0.5
        return _Seen(points, colors[part][rows, columns] / scale_of(colors))

    def around(self, place: Place) -> ResolvedArea:
        """The area in blocks that have the pixels at this `place` of the original blocks in their middle.

        Blocks that are not squares of whole pixels stay, because the network's pixels do not fit into halves of them.
        """
        if place == MIDDLE or not self.area.is_square:
            return self.area
        size = int(self.grid.width)
        offset_x, offset_y = ((int(n) + size // 2) % size for n in (self.grid.offset_x, self.grid.offset_y))
        return self.area.in_blocks_of(size, (offset_x, offset_y))

    def likeliest(self) -> tuple[Place, float]:
        """The likeliest place of the shown pixel in each block, and the range, in blocks."""
        seen = {
            place: [self._seen(place, *part, self.whole) for part, _ in self._chunks(self.shown.shape, self.whole, 0)]
            for place in (MIDDLE, CORNER, *MIXED)
        }
        most = np.argsort([-len(of.points) for of in seen[MIDDLE]])[:LOOKED_AT]
        found = {
            (place, reach): sum(self._fit(seen[place][i], reach).likelihood for i in most)
            for place, reach in product(seen, REACHES)
        }
        best = {place: max(REACHES, key=lambda reach: found[place, reach]) for place in seen}
        ahead = found[CORNER, best[CORNER]] - max(found[place, best[place]] for place in (MIDDLE, *MIXED))
        place = CORNER if ahead > SURE else MIDDLE
        return place, best[place]

    def _chunks(
        self, shape: tuple[int, ...], blocks: np.ndarray, beside: int = BESIDE
    ) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
        """Divide a grid of this shape into chunks, each with the part around it that contributes.

        Chunks without any of `blocks`, (rows, columns) bool, in that part are left out.
        """
        found = []
        for starts in product(range(0, shape[0], CHUNK), range(0, shape[1], CHUNK)):
            y, x = (slice(start, min(start + CHUNK, count)) for start, count in zip(starts, shape[:2], strict=True))
            around = slice(max(y.start - beside, 0), y.stop + beside), slice(max(x.start - beside, 0), x.stop + beside)
            if blocks[around].any():
                found.append(((y, x), around))
        return found

    def _seen(self, place: Place, rows: slice, columns: slice, blocks: np.ndarray) -> _Seen:
        """The pixels that some blocks in these rows and columns show, and the known pixels around them.

        If the area cuts off the place of the pixel, the nearest pixel of the block is used. If a mask leaves it
        visible, the block is skipped.
        """
        down, across = (self._places(axis, place[axis])[part].astype(int) for axis, part in enumerate((rows, columns)))
        which = blocks[rows, columns] & self.hidden[down[:, None], across]
        points = np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1)[which] + 0.5
        firsts = [begins[part] for begins, part in zip(self.begins, (rows, columns), strict=True)]
        low = np.array([at[0] for at in firsts]) - 2 * self.sides.max()  # the same for all places, to compare them
        high = np.array([at[-1] for at in firsts]) + 3 * self.sides.max()
        near = ((self.near.points > low) & (self.near.points < high)).all(axis=1)
        values = np.concatenate([self.shown[rows, columns][which], self.near.values[near]])
        return _Seen(np.concatenate([points, self.near.points[near]]), values)

    def _places(self, axis: int, place: float) -> np.ndarray:
        """The pixel at this place of each block along an axis (0: down), within the visible part of the block."""
        begins, extent = self.begins[axis], self.extent[axis]
        first = -int((self.grid.offset_y, self.grid.offset_x)[axis])  # where the whole first block would begin
        at = np.append(first, begins[1:]) + int(place * self.sides[axis])
        return at.clip(begins, np.append(begins[1:], extent) - 1)

    def _fit(self, seen: _Seen, reach: float) -> _Fit:
        from scipy.linalg import solve_triangular

        reach = reach * float(np.sqrt(self.sides.prod()))
        between = _between(seen.points, seen.points, reach)
        between[np.diag_indices(len(between))] += _NOISE
        factor = np.linalg.cholesky(between)
        ones, values = np.ones((len(between), 1)), seen.values
        whitened = solve_triangular(factor, np.hstack([ones, values]), lower=True)
        one, values = whitened[:, :1], whitened[:, 1:]
        mean = (one * values).sum(axis=0) / (one * one).sum()
        rest = values - one * mean
        gray = rest @ (LUMINANCE if rest.shape[1] == 3 else (1.0,))
        likelihood = -len(gray) * np.log(np.mean(np.abs(gray)) + _LEVEL) - np.log(np.diag(factor)).sum()
        return _Fit(mean, solve_triangular(factor, rest, lower=True, trans=1), reach, float(likelihood))

    def means(self, place: Place, reach: float, grid: Grid) -> np.ndarray:
        """Estimate the means of the blocks of a grid: (rows, columns, C) float64, gray levels."""
        columns, rows = grid.begins(*self.extent[::-1])
        ends = [
            np.append(at[1:], n) for at, n in zip((rows, columns), (self.area.height, self.area.width), strict=True)
        ]
        parts = (np.arange(_PARTS) + 0.5) / _PARTS
        down, across = (
            at[:, None] + (end - at)[:, None] * parts for at, end in zip((rows, columns), ends, strict=True)
        )
        found = np.zeros((len(down), len(across), self.shown.shape[2]))
        for (y, x), around in self._chunks(found.shape, self.some):
            seen = self._seen(place, *around, self.some)
            fit = self._fit(seen, reach)
            points = np.stack(np.meshgrid(down[y].reshape(-1), across[x].reshape(-1), indexing="ij"), axis=-1)
            pixels = fit.mean + _between(points.reshape(-1, 2), seen.points, fit.reach) @ fit.weights
            shape = len(down[y]), _PARTS, len(across[x]), _PARTS, -1
            found[y, x] = pixels.reshape(shape).mean(axis=(1, 3))
        return found


def _between(points: np.ndarray, others: np.ndarray, reach: float) -> np.ndarray:
    """The covariances of pixels at points (N, 2) and (M, 2): (N, M)."""
    down, across = ((points[:, None, i] - others[None, :, i]) * (covariance.RANGE / reach) for i in (0, 1))
    return covariance.covariance(down, across)
