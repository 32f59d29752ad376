"""The windows for areas of any size: overlapping tiles, at the scale that suits the network."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from depixel.areas.area import Area, ResolvedArea
from depixel.areas.grid import Grid, block_counts, block_means, spread
from depixel.model.windows import CONTEXT, window_side
from depixel.photos.decoding import from_linear, to_linear
from depixel.pictures.pixels import scale_of, without_alpha

SMALL, LARGE = 4, 12
"""Blocks of this range of sizes, in pixels, are restored unscaled. Smaller blocks are scaled to `SMALL`, larger ones to
`SCALED`."""
SCALED = 8
"""Size in working pixels of blocks that are too large to be restored unscaled."""
STRETCHED = 5, 6
"""Sizes in working pixels of blocks that are not squares of whole pixels: of those with less than `SCALED` squared
pixels, and of larger ones."""
LEARNT_AREA, LEARNT_BLOCK = 32, 16
"""The largest area side and block size of the networks' training, pixels. Such blocks in such areas are not scaled."""
TILE = 256
"""The largest side of a window in working pixels, a multiple of 8."""
MARGIN = 24
"""The least overlap of two tiles beyond the cut between them, on each side, working pixels."""
Trust = Literal["exact", "rounded", "linear", "loose", "sampled"]
"""The meaning of a block's value: the truncated mean of its pixels; their mean, to half a level; their mean in linear
light (sRGB), to half a level; their mean, to `LOOSE`; or one of the pixels (`sampling.showing_means`)."""
LOOSE = 8.0
"""The tolerance of a block's mean with the trust "loose", gray levels."""
_STEPS = 20  # largest number of steps of the projection; one is enough if nothing is clipped


class Shown:
    """An area with the meaning of its blocks' values, and its scale.

    Attributes:
        area: the area with its blocks.
        trust: the meaning of its blocks' values.
        block: side of a block in working pixels, in which it is square.
        steps: number of picture pixels per working pixel, across and down.
        lacking: number of columns and rows that the first blocks lack, whole pixels.
    """

    def __init__(self, area: ResolvedArea, trust: Trust):
        self.area, self.trust, grid = area, trust, area.grid
        most = LEARNT_BLOCK if max(area.width, area.height) <= LEARNT_AREA else LARGE
        if area.is_square:
            size = int(grid.width)
            self.block = SMALL if size < SMALL else size if size <= most else SCALED
        else:
            self.block = STRETCHED[float(grid.width * grid.height) >= SCALED**2]
        self.steps = Fraction(grid.width) / self.block, Fraction(grid.height) / self.block
        self.lacking = int(grid.offset_x), int(grid.offset_y)

    def values(self, colors: np.ndarray, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bounds of the true means of the blocks in a part of the area.

        Args:
            colors: (H, W, C), the picture.
            rows, columns: the part, relative to the area; it begins with a block.

        Returns:
            The least, likeliest and greatest mean of each block, (rows, columns, C) float64 each, stored levels.
        """
        part, grid = colors[self.area.y :, self.area.x :][rows, columns], self.grid(rows, columns)
        shown = block_means(part, grid)  # a JPEG's blocks are noisy
        if self.area.mask is not None:
            hidden = self.area.mask[rows, columns, None]
            count = block_means(hidden, grid)
            shown = np.where(count > 0, block_means(part * hidden, grid) / np.maximum(count, 1e-9), shown)
        if self.trust == "exact":
            count = block_counts(part.shape[0], part.shape[1], grid)[:, :, None]
            slack = (count - 1) / count
            return shown, shown + slack / 2, shown + slack
        slack = LOOSE * scale_of(colors) if self.trust == "loose" else 0.5
        return shown - slack, shown, shown + slack

    def grid(self, rows: slice, columns: slice) -> Grid:
        """The blocks of a part of the area."""
        return self.area.grid.at(columns.start, rows.start)

    def project(
        self, values: np.ndarray, least: np.ndarray, most: np.ndarray, white: int, grid: Grid, hidden: np.ndarray
    ) -> np.ndarray:
        """Project a prediction onto the known means: each block then shows a value between `least` and `most`.

        All hidden pixels of a block move by the same amount and are clipped to 0..white. Bisection finds the amount if
        clipping changes the mean.

        Args:
            values: (h, w, C), the prediction, stored levels.
            least, most: (rows, columns, C), the bounds of each block.
            white: the largest stored level.
            grid: the blocks.
            hidden: bool, (h, w, 1) or broadcastable to that, the pixels that may move.
        """
        shape = values.shape[:2]
        reach = white + np.abs(values).max()
        low, high, moved = (np.full(least.shape, start, np.float64) for start in (-reach, reach, 0))
        for step in range(_STEPS):
            inside = (values + hidden * spread(moved, grid, shape)).clip(0, white)
            if self.trust == "linear":
                shows = white * from_linear(block_means(to_linear(inside / white), grid))
            else:
                shows = block_means(inside, grid)
            missing = shows.clip(least, most) - shows
            if np.abs(missing).max() < 0.01:
                break
            low, high = np.where(missing > 0, moved, low), np.where(missing < 0, moved, high)
            # the first step is exact where nothing is clipped; blocks within their bounds stay
            moved = np.where(missing == 0, moved, moved + missing if step == 0 else (low + high) / 2)
        return inside


class Span(NamedTuple):
    """A tile along one axis, in working pixels from the start of the area's first block (as if that were whole).

    Attributes:
        start: start of its window; negative: outside the area.
        side: side of the window.
        first, last: the part of the area that the window shows, whole blocks.
        begin, end: the part of the area that is written from it.
    """

    start: int
    side: int
    first: int
    last: int
    begin: int
    end: int


def spans(extent: int, block: int, before: int, after: int) -> list[Span]:
    """Lay windows along one axis: one if the area fits, otherwise tiles that overlap by 2 `MARGIN`, cut between blocks.

    Args:
        extent: length of the area as if its first block were whole, working pixels.
        block: side of a block, working pixels.
        before, after: length of the picture before and after the area, working pixels; before is negative if the first
            block would begin outside the picture.
    """
    side = min(int(window_side(extent)), TILE)
    if side >= extent + CONTEXT // 2:
        left, right = (side - extent) // 2, (side - extent + 1) // 2
        left, right = min(before, left + max(right - after, 0)), min(after, right + max(left - before, 0))
        return [Span(-left, side, 0, extent, 0, extent)]
    head, tail = min(before, CONTEXT // 2), min(after, CONTEXT // 2)
    stretch = extent + tail - side + head  # from the start of the first window to that of the last
    count = ceil(stretch / (side - 2 * MARGIN - block))
    starts = [-head] + [-(-(stretch * k // count - head) // block) * block for k in range(1, count + 1)]
    firsts = [0, *(max(start, 0) for start in starts[1:])]
    cuts = [0, *((b + a + side) // (2 * block) * block for a, b in pairwise(starts)), extent]
    return [
        Span(start, side, first, extent if extent <= start + side else (start + side) // block * block, *cut)
        for start, first, cut in zip(starts, firsts, pairwise(cuts), strict=True)
    ]


class Tile(NamedTuple):
    """A window around a part of an area, and the part that is written from it."""

    shown: Shown
    across: Span
    down: Span

    @property
    def side(self) -> tuple[int, int]:
        """Height and width of the window, working pixels."""
        return self.down.side, self.across.side

    def within(self) -> ResolvedArea:
        """The visible part of the area, in coordinates of the window; working pixels."""
        x, y = self.across, self.down
        offset_x, offset_y = (
            int(lacks / step) for lacks, step in zip(self.shown.lacking, self.shown.steps, strict=True)
        )
        offset_x, offset_y = 0 if x.first else offset_x, 0 if y.first else offset_y
        left, top = x.first + offset_x, y.first + offset_y
        width, height = x.last - left, y.last - top
        return (
            Area(left, top, width, height)
            .moved(-x.start, -y.start)
            .in_blocks_of(self.shown.block, (offset_x, offset_y))
        )

    def _parts(self, across: tuple[int, int], down: tuple[int, int]) -> tuple[slice, slice]:
        """Convert begin and end along each axis, at blocks, from working pixels to rows and columns of the area."""
        area, grid = self.shown.area, self.shown.area.grid
        columns, rows = (
            slice(max(ceil(begin * step - offset), 0), min(ceil(end * step - offset), extent))
            for (begin, end), step, offset, extent in (
                (across, self.shown.steps[0], grid.offset_x, area.width),
                (down, self.shown.steps[1], grid.offset_y, area.height),
            )
        )
        return rows, columns

    def window(self, image: np.ndarray) -> np.ndarray:
        """Cut the window out of a picture, with the likeliest block means: (C, height, width) float32, 0..255."""
        area, x, y = self.shown.area, self.across, self.down
        colors = without_alpha(image)
        origin = area.x - self.shown.lacking[0], area.y - self.shown.lacking[1]
        planes = _resampled(colors, self.shown.steps, origin, (x.start, y.start), self.side)
        rows, columns = self._parts((x.first, x.last), (y.first, y.last))
        means = self.shown.values(colors, rows, columns)[1] / scale_of(image)
        within = self.within()
        inside = spread(means, within.grid, (within.height, within.width))
        planes[(slice(None), *within.part)] = np.moveaxis(inside, 2, 0)
        return planes

    def write(self, restored: np.ndarray, image: np.ndarray, window: np.ndarray) -> None:
        """Scale a restored window (C, height, width) back, project it onto the known means, and write it.

        Args:
            restored: the result, (H, W) or (H, W, C), changed in place.
            image: the pixelated picture, of the same shape and dtype.
            window: 0..255.
        """
        area, x, y = self.shown.area, self.across, self.down
        rows, columns = self._parts((x.begin, x.end), (y.begin, y.end))
        height, width = rows.stop - rows.start, columns.stop - columns.start
        left, top = (
            (first + lacks) / step - span.start
            for first, lacks, step, span in zip(
                (columns.start, rows.start), self.shown.lacking, self.shown.steps, (x, y), strict=True
            )
        )
        box = left, top, left + width / self.shown.steps[0], top + height / self.shown.steps[1]
        taken = [_resized(plane, box, (height, width)) for plane in window]
        values = np.stack(taken, axis=2).astype(np.float64) * scale_of(image)
        least, _, most = self.shown.values(without_alpha(image), rows, columns)
        white = np.iinfo(image.dtype).max
        place = without_alpha(restored)[area.y :, area.x :][rows, columns]
        hidden = np.ones((1, 1, 1), bool) if area.mask is None else area.mask[rows, columns, None]
        values = np.where(hidden, values, place)
        values = self.shown.project(values, least, most, white, self.shown.grid(rows, columns), hidden)
        place[:] = np.where(hidden, values.round(), place)


def tiles_of(shown: Shown, shape: tuple[int, ...]) -> Iterator[Tile]:
    """Yield the windows for an area of a picture of this shape, (H, W, ...)."""
    area, laid = shown.area, []
    for start, extent, lacks, step, length, firsts in zip(
        (area.x, area.y),
        (area.width, area.height),
        shown.lacking,
        shown.steps,
        shape[1::-1],
        area.grid.begins(area.width, area.height),
        strict=True,
    ):
        before, after = int((start - lacks) / step), int((length - start - extent) / step)
        working = min(ceil((extent + lacks) / step), len(firsts) * shown.block)
        laid.append(spans(working, shown.block, before, after))
    return (Tile(shown, across, down) for down in laid[1] for across in laid[0])


def _resampled(
    colors: np.ndarray,
    steps: tuple[Fraction, Fraction],
    origin: tuple[int, int],
    start: tuple[int, int],
    side: tuple[int, int],
) -> np.ndarray:
    """Resample a part of a picture: (C, *side) float32, 0..255.

    Args:
        colors: (H, W, C); its outermost rows and columns are repeated beyond its borders.
        steps: number of its pixels per new pixel, across and down.
        origin: x, y of a point in it, pixels.
        start: x, y of the part relative to that point, in new pixels.
        side: height and width of the part, new pixels.
    """
    boxes, indices = [], []
    for at, begin, extent, length, step in zip(origin, start, side[::-1], colors.shape[1::-1], steps, strict=True):
        first, last = at + begin * step, at + (begin + extent) * step
        boxes.append((first - int(first // 1), last - int(first // 1)))
        indices.append(np.arange(int(first // 1), ceil(last)).clip(0, length - 1))
    part = colors[indices[1][:, None], indices[0]]
    (x0, x1), (y0, y1) = boxes
    planes = (np.ascontiguousarray(part[:, :, i], np.float32) for i in range(part.shape[2]))
    return np.stack([_resized(plane, (x0, y0, x1, y1), side) for plane in planes]) / np.float32(scale_of(colors))


def _resized(
    plane: np.ndarray, box: tuple[Fraction | int, Fraction | int, Fraction | int, Fraction | int], side: tuple[int, int]
) -> np.ndarray:
    """Resize the part of a plane in a box (left, top, right, bottom) to `side`: (height, width) float32.

    Along each axis, shrinking takes means, and enlarging interpolates bicubically.
    """
    left, top, right, bottom = box
    across, down = (right - left) / side[1], (bottom - top) / side[0]
    if across == down == 1 and left == int(left) and top == int(top):
        return plane[int(top) : int(bottom), int(left) : int(right)]
    image = Image.fromarray(plane)
    how = [Image.Resampling.BOX if step > 1 else Image.Resampling.BICUBIC for step in (across, down)]
    if how[0] == how[1]:
        edges = float(left), float(top), float(right), float(bottom)
        return np.asarray(image.resize(side[::-1], how[0], edges))
    image = image.resize((side[1], image.height), how[0], (float(left), 0.0, float(right), float(image.height)))
    return np.asarray(image.resize(side[::-1], how[1], (0.0, float(top), float(side[1]), float(bottom))))
