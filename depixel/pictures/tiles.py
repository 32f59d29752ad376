"""The windows in which areas of any size are restored: overlapping tiles, at the scale that suits the network."""

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
"""Blocks of so many pixels are restored as they are, smaller ones as blocks of `SMALL`, larger ones of `SCALED`."""
SCALED = 8
STRETCHED = 5, 6
"""Blocks that are no squares of whole pixels are restored as squares of so many: those of less than `SCALED` squared
pixels, and larger ones."""
LEARNT_AREA, LEARNT_BLOCK = 32, 16
"""In areas of up to so many pixels a side, blocks of up to so many are restored as they are: networks know those."""
TILE = 256
"""The largest side of a window, working pixels: a multiple of 8."""
MARGIN = 24
"""What two tiles see of each other at least, working pixels on each side of the cut between them."""
Trust = Literal["exact", "rounded", "linear", "loose", "sampled"]
"""What the value of a block is: the truncated mean of its pixels, their mean give or take half a level, the same of
their mean in linear light (sRGB), their mean give or take `LOOSE`, or one of them (`sampling.showing_means`)."""
LOOSE = 8.0
"""Gray levels."""
_STEPS = 20  # of the projection at most; one is enough where nothing is clipped


class Shown:
    """What the pixels of an area say of it.

    Attributes:
        area: with its blocks. trust: what the values of its blocks are. block: working pixels of a block, which is
            square in them. steps: pixels of the picture in a working pixel, across and down.
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
        """What is known of the true means of the blocks in a part of the area that begins with a block.

        Returns:
            (rows, columns, C) float64, stored levels: the least, the likeliest and the greatest mean of each block.
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
        """Move the blocks of a prediction (h, w, C), black 0, to where they show a value between `least` and `most`.

        The `hidden` pixels (h, w, 1) of a block are moved together and clipped to what can be stored. Where that
        changes their mean, how far they must be moved is found by bisection.
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
            # the first step is right where nothing is clipped; blocks that miss nothing stay
            moved = np.where(missing == 0, moved, moved + missing if step == 0 else (low + high) / 2)
        return inside


class Span(NamedTuple):
    """A tile along one axis, in working pixels from where the area's first block begins, or would if it were whole.

    Attributes:
        start: where its window begins; outside of the area if negative. side: of the window.
        first, last: the part of the area, of whole blocks, that the window shows. begin, end: what is taken from it.
    """

    start: int
    side: int
    first: int
    last: int
    begin: int
    end: int


def spans(extent: int, block: int, before: int, after: int) -> list[Span]:
    """Lay windows along one axis: one if the area fits, or else tiles that overlap by 2 `MARGIN`, cut between blocks.

    Args:
        extent: of the area, working pixels, as if its first block were whole. block: of a block. before, after: how
            much of the picture there is around; before is negative if the first block reaches out of it.
    """
    side = min(int(window_side(extent)), TILE)
    if side >= extent + CONTEXT // 2:
        left, right = (side - extent) // 2, (side - extent + 1) // 2
        left, right = min(before, left + max(right - after, 0)), min(after, right + max(left - before, 0))
        return [Span(-left, side, 0, extent, 0, extent)]
    head, tail = min(before, CONTEXT // 2), min(after, CONTEXT // 2)
    stretch = extent + tail - side + head  # from the first window's begin to the last one's
    count = ceil(stretch / (side - 2 * MARGIN - block))
    starts = [-head] + [-(-(stretch * k // count - head) // block) * block for k in range(1, count + 1)]
    firsts = [0, *(max(start, 0) for start in starts[1:])]
    cuts = [0, *((b + a + side) // (2 * block) * block for a, b in pairwise(starts)), extent]
    return [
        Span(start, side, first, extent if extent <= start + side else (start + side) // block * block, *cut)
        for start, first, cut in zip(starts, firsts, pairwise(cuts), strict=True)
    ]


class Tile(NamedTuple):
    """A window around a part of an area, and what to take from it."""

    shown: Shown
    across: Span
    down: Span

    @property
    def side(self) -> tuple[int, int]:
        """Height and width of the window, working pixels."""
        return self.down.side, self.across.side

    def within(self) -> ResolvedArea:
        """The visible part of the area in the window; working pixels."""
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
        """Rows and columns of the area, from those that begin blocks in working pixels: begin and end of each."""
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
        """(C, height, width) float32, 0..255: the picture around, and the likeliest means of the blocks."""
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
        """Bring a restored window (C, height, width) back, move its blocks' means onto what is known, and write it."""
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
        values = np.where(hidden, values, place)  # a block of which some pixels are known shows the mean of all of them
        values = self.shown.project(values, least, most, white, self.shown.grid(rows, columns), hidden)
        place[:] = np.where(hidden, values.round(), place)


def tiles_of(shown: Shown, shape: tuple[int, ...]) -> Iterator[Tile]:
    """Lay the windows for an area of a picture of this shape."""
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
    """(C, *side) float32, 0..255: the picture in pixels of `steps` of its own, across and down.

    Args:
        colors: (H, W, C); its last rows and columns are repeated where it ends. origin: x, y of a point in it.
        start: x, y of where to begin, from there, in the new pixels.
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
    """(height, width) float32: the part of a plane in a box left, top, right, bottom; smaller pixels become the mean of
    what they cover, larger ones are interpolated."""
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
