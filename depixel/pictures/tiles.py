"""The windows in which areas of any size are restored: overlapping tiles, at the scale that suits the network."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from depixel.areas.area import ResolvedArea
from depixel.areas.grid import Offset, block_counts, block_means, spread
from depixel.model.windows import CONTEXT, window_side
from depixel.photos.decoding import from_linear, to_linear
from depixel.pictures.pixels import scale_of, without_alpha

SMALL, LARGE = 4, 12
"""Blocks of so many pixels are restored as they are, smaller ones as blocks of `SMALL`, larger ones of `SCALED`."""
SCALED = 8
LEARNT_AREA, LEARNT_BLOCK = 32, 16
"""In areas of up to so many pixels a side, blocks of up to so many are restored as they are: networks know those."""
TILE = 256
"""The largest side of a window, working pixels: a multiple of 8."""
MARGIN = 24
"""What two tiles see of each other at least, working pixels on each side of the cut between them."""
Trust = Literal["exact", "rounded", "linear", "loose"]
"""What the value of a block is: the truncated mean of its pixels, their mean give or take half a level, the same of
their mean in linear light (sRGB), or their mean give or take `LOOSE`."""
LOOSE = 8.0
"""Gray levels."""
_STEPS = 20  # of the projection at most; one is enough where nothing is clipped


class Shown:
    """What the pixels of an area say of it.

    Attributes:
        area: with its block size. step: pixels of the picture in a working pixel, along each axis. block: working
            pixels of a block. trust: what the values of its blocks are.
    """

    def __init__(self, area: ResolvedArea, trust: Trust):
        self.area, self.trust, size = area, trust, area.block_size
        most = LEARNT_BLOCK if max(area.width, area.height) <= LEARNT_AREA else LARGE
        self.block = SMALL if size < SMALL else size if size <= most else SCALED
        self.step = Fraction(size, self.block)

    def values(self, colors: np.ndarray, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What is known of the true means of the blocks in a part of the area that begins with a block.

        Returns:
            (rows, columns, C) float64, stored levels: the least, the likeliest and the greatest mean of each block.
        """
        part, offset = colors[self.area.y :, self.area.x :][rows, columns], self.offset(rows, columns)
        shown = block_means(part, self.area.block_size, offset)  # a JPEG's blocks are noisy
        if self.trust == "exact":
            count = block_counts(part.shape[0], part.shape[1], self.area.block_size, offset)[:, :, None]
            slack = (count - 1) / count
            return shown, shown + slack / 2, shown + slack
        slack = LOOSE * scale_of(colors) if self.trust == "loose" else 0.5
        return shown - slack, shown, shown + slack

    def offset(self, rows: slice, columns: slice) -> Offset:
        """Number of columns and rows that the first blocks of a part of the area lack: as the area's, if it begins
        there."""
        x, y = self.area.offset
        return 0 if columns.start else x, 0 if rows.start else y

    def project(
        self, values: np.ndarray, least: np.ndarray, most: np.ndarray, white: int, offset: Offset
    ) -> np.ndarray:
        """Move the blocks of a prediction (h, w, C), black 0, to where they show a value between `least` and `most`.

        A block is moved as a whole and clipped to what can be stored. Where that changes its mean, how far it must be
        moved is found by bisection.
        """
        size, shape = self.area.block_size, values.shape[:2]
        reach = white + np.abs(values).max()
        low, high, moved = (np.full(least.shape, start, np.float64) for start in (-reach, reach, 0))
        for step in range(_STEPS):
            inside = (values + spread(moved, size, shape, offset)).clip(0, white)
            if self.trust == "linear":
                shows = white * from_linear(block_means(to_linear(inside / white), size, offset))
            else:
                shows = block_means(inside, size, offset)
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
        x, y, step = self.across, self.down, self.shown.step
        offset_x, offset_y = (int(lacking / step) for lacking in self.shown.area.offset)
        offset_x, offset_y = 0 if x.first else offset_x, 0 if y.first else offset_y
        left, top = x.first + offset_x, y.first + offset_y
        width, height = x.last - left, y.last - top
        return ResolvedArea(left, top, width, height, self.shown.block, offset_x=offset_x, offset_y=offset_y).moved(
            -x.start, -y.start
        )

    def _part(self, offset: int, extent: int, first: int, last: int) -> slice:
        """A part of the area along one axis, from working pixels to those of the picture."""
        return slice(max(int(first * self.shown.step) - offset, 0), min(ceil(last * self.shown.step) - offset, extent))

    def window(self, image: np.ndarray) -> np.ndarray:
        """(C, height, width) float32, 0..255: the picture around, and the likeliest means of the blocks."""
        area, x, y = self.shown.area, self.across, self.down
        colors = without_alpha(image)
        offset_x, offset_y = area.offset
        origin = area.x - offset_x, area.y - offset_y
        planes = _resampled(colors, self.shown.step, origin, (x.start, y.start), self.side)
        rows = self._part(offset_y, area.height, y.first, y.last)
        columns = self._part(offset_x, area.width, x.first, x.last)
        means = self.shown.values(colors, rows, columns)[1] / scale_of(image)
        within = self.within()
        inside = spread(means, within.block_size, (within.height, within.width), within.offset)
        planes[(slice(None), *within.part)] = np.moveaxis(inside, 2, 0)
        return planes

    def write(self, restored: np.ndarray, image: np.ndarray, window: np.ndarray) -> None:
        """Bring a restored window (C, height, width) back, move its blocks' means onto what is known, and write it."""
        area, x, y, step = self.shown.area, self.across, self.down, self.shown.step
        offset_x, offset_y = area.offset
        rows = self._part(offset_y, area.height, y.begin, y.end)
        columns = self._part(offset_x, area.width, x.begin, x.end)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        left = (columns.start + offset_x) / step - x.start
        top = (rows.start + offset_y) / step - y.start
        if step == 1:
            taken = list(window[:, int(top) : int(top) + height, int(left) : int(left) + width])
        else:
            box = float(left), float(top), float(left + width / step), float(top + height / step)
            how = Image.Resampling.BICUBIC if step > 1 else Image.Resampling.BOX
            taken = [np.asarray(Image.fromarray(plane).resize((width, height), how, box)) for plane in window]
        values = np.stack(taken, axis=2).astype(np.float64) * scale_of(image)
        least, _, most = self.shown.values(without_alpha(image), rows, columns)
        white = np.iinfo(image.dtype).max
        values = self.shown.project(values, least, most, white, self.shown.offset(rows, columns))
        without_alpha(restored)[area.y :, area.x :][rows, columns] = values.round()


def tiles_of(shown: Shown, shape: tuple[int, ...]) -> Iterator[Tile]:
    """Lay the windows for an area of a picture of this shape."""
    area, step = shown.area, shown.step
    laid = []
    for start, extent, offset, length in (
        (area.x, area.width, area.offset[0], shape[1]),
        (area.y, area.height, area.offset[1], shape[0]),
    ):
        before, after = int((start - offset) / step), int((length - start - extent) / step)
        laid.append(spans(ceil((extent + offset) / step), shown.block, before, after))
    return (Tile(shown, across, down) for down in laid[1] for across in laid[0])


def _resampled(
    colors: np.ndarray, step: Fraction, origin: tuple[int, int], start: tuple[int, int], side: tuple[int, int]
) -> np.ndarray:
    """(C, *side) float32, 0..255: the picture in pixels of `step` of its own.

    Args:
        colors: (H, W, C); its last rows and columns are repeated where it ends. origin: x, y of a point in it.
        start: x, y of where to begin, from there, in the new pixels.
    """
    boxes, indices = [], []
    for at, begin, extent, length in zip(origin, start, side[::-1], colors.shape[1::-1], strict=True):
        first, last = at + begin * step, at + (begin + extent) * step
        boxes.append((first - int(first // 1), last - int(first // 1)))
        indices.append(np.arange(int(first // 1), ceil(last)).clip(0, length - 1))
    part = colors[indices[1][:, None], indices[0]]
    planes = (np.ascontiguousarray(part[:, :, i], np.float32) for i in range(part.shape[2]))
    if step != 1:
        (x0, x1), (y0, y1) = boxes
        box = float(x0), float(y0), float(x1), float(y1)
        how = Image.Resampling.BOX if step > 1 else Image.Resampling.BICUBIC
        planes = (np.asarray(Image.fromarray(plane).resize(side[::-1], how, box)) for plane in planes)
    return np.stack(list(planes)) / np.float32(scale_of(colors))
