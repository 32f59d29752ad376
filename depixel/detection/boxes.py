"""Boxes: areas with their blocks, described by their sides, so that the search can move each side."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, floor
from typing import NamedTuple

import numpy as np

from depixel.areas.area import Area, ResolvedArea
from depixel.areas.grid import Grid, block_means


class Box(NamedTuple):
    """An area [x0, x1) x [y0, y1) with square blocks.

    Attributes:
        x0, y0, x1, y1: its sides, pixels; the last two excluded.
        size: side of a block, pixels.
        offset_x, offset_y: see `depixel.areas.area.Area`, pixels.
        grid: its blocks, if they are not squares of whole pixels; None: square blocks of `size`.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    size: int
    offset_x: int
    offset_y: int
    grid: Grid | None = None

    @property
    def area(self) -> ResolvedArea:
        """The box as an area: by its corner, width and height."""
        bounds = Area(self.x0, self.y0, self.x1 - self.x0, self.y1 - self.y0)
        return bounds.in_blocks(self.grid or Grid.square(self.size, (self.offset_x, self.offset_y)))

    @classmethod
    def around(cls, area: ResolvedArea) -> "Box":
        """The box with the sides and blocks of an area."""
        right, bottom = area.x + area.width, area.y + area.height
        return cls(area.x, area.y, right, bottom, ceil(area.block_width), 0, 0, area.grid)

    def overlap(self, other: "Box") -> float:
        """The shared pixels, as a share of the smaller box, 0..1."""
        wide = min(self.x1, other.x1) - max(self.x0, other.x0)
        high = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(wide, 0) * max(high, 0) / min(self.pixels, other.pixels)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def without(self, other: "Box") -> "Box":
        """The largest part that lies beside, above or below another box; the grid stays in place."""
        left, top = min(other.x1, self.x1) - self.x0, min(other.y1, self.y1) - self.y0
        beside, below = (None, None) if self.grid is None else (self.grid.at(left, 0), self.grid.at(0, top))
        parts = [
            self._replace(x1=max(other.x0, self.x0)),
            self._replace(y1=max(other.y0, self.y0)),
            self._replace(x0=self.x0 + left, offset_x=(self.offset_x + left) % self.size, grid=beside),
            self._replace(y0=self.y0 + top, offset_y=(self.offset_y + top) % self.size, grid=below),
        ]
        return max(parts, key=lambda part: part.pixels)

    def moved(self, x: int, y: int) -> "Box":
        """The same box x pixels to the right and y pixels down."""
        return self._replace(x0=self.x0 + x, x1=self.x1 + x, y0=self.y0 + y, y1=self.y1 + y)

    def with_sides(self, x0: int, y0: int, x1: int, y1: int) -> "Box":
        """A box with other sides, in the same grid."""
        left, top = x0 - self.x0, y0 - self.y0
        offsets = (self.offset_x + left) % self.size, (self.offset_y + top) % self.size
        grid = self.grid and (self.grid if left >= 0 <= top else self.grid._replace(lines_x=None, lines_y=None))
        return Box(x0, y0, x1, y1, self.size, *offsets, grid and grid.at(left, top))

    def plain(self) -> "Box":
        """The same box; along an axis without lines between blocks, the offset becomes 0."""
        x, y = self.lines()
        return self._replace(offset_x=self.offset_x if len(x) else 0, offset_y=self.offset_y if len(y) else 0)

    def odd(self) -> list[np.ndarray]:
        """The lines between blocks, along the axes where the first block is cut off."""
        return [lines for lines, offset in zip(self.lines(), (self.offset_x, self.offset_y), strict=True) if offset]

    @property
    def has_whole_block(self) -> bool:
        """Whether a block lies within it as a whole, so that its pixels show both sides of a block."""
        area = self.area
        begins, lengths = area.grid.begins(area.width, area.height), (area.width, area.height)
        sizes = area.grid.width, area.grid.height
        return all(
            np.diff(np.append(of, length)).max() >= floor(size)
            for of, length, size in zip(begins, lengths, sizes, strict=True)
        )

    def lines(self) -> tuple[np.ndarray, np.ndarray]:
        """The lines between blocks: the first column (x) and first row (y) of every block but the first, int64."""
        if self.grid is not None:
            x, y = self.grid.begins(self.x1 - self.x0, self.y1 - self.y0)
            return self.x0 + x[1:], self.y0 + y[1:]
        x = lines_of(self.x0, self.x1, self.size, self.offset_x)
        return x, lines_of(self.y0, self.y1, self.size, self.offset_y)


def lines_of(start: int, stop: int, size: int, offset: int) -> np.ndarray:
    """The first pixel of every block but the first in [start, stop); the first block lacks `offset` pixels."""
    return np.arange(start + size - offset, stop, size)


class Candidate(NamedTuple):
    """An area that may be pixelated.

    Attributes:
        score: log-likelihood ratio, natural logarithm.
        box: its sides and blocks.
        certain: see `search.Found`.
        mask: (h, w) bool, its shape within the box; None: a rectangle.
    """

    score: float
    box: Box
    certain: bool
    mask: np.ndarray | None = None

    @property
    def area(self) -> ResolvedArea:
        """The area of the box, in its shape."""
        return replace(self.box.area, mask=self.mask)

    def cut(self, box: Box) -> "Candidate":
        """The part of it within a smaller box."""
        left, top = box.x0 - self.box.x0, box.y0 - self.box.y0
        mask = self.mask if self.mask is None else self.mask[top:, left:][: box.y1 - box.y0, : box.x1 - box.x0]
        return self._replace(box=box, mask=mask)


def apart(found: list[Candidate], before: Sequence[Candidate] = ()) -> list[Candidate]:
    """Remove overlaps. The order is: `before`, certain candidates, others; each by score, the highest first.

    A candidate that overlaps an earlier one by a share of 0.2 or more is left out; otherwise the overlap is cut off.
    """
    kept = list(before)
    for candidate in sorted(found, key=lambda one: (-one.certain, -one.score)):
        if any(candidate.box.overlap(other.box) >= 0.2 for other in kept):
            continue
        box = candidate.box
        for other in kept:
            if box.overlap(other.box) > 0:  # an earlier cut may have removed this overlap
                box = box.without(other.box).plain()
        kept.append(candidate.cut(box))
    return kept


def differ(gray: np.ndarray, area: ResolvedArea, least: float, share: float = 1 / 3) -> bool:
    """Whether at least this share of neighbouring blocks, and at least one, differ by `least` gray levels on each axis.

    In photos a third of them do; in drawings and smooth parts few do.

    Args:
        gray: (H, W) float, the picture.
        area: the area with its blocks.
        least: gray levels.
        share: share of the pairs of neighbours, 0..1.
    """
    means = block_means(gray[area.part][:, :, None], area.grid)[:, :, 0]
    jumps = [np.abs(np.diff(means, axis=axis)).ravel() for axis in (0, 1)]
    return all((of >= least).sum() >= max(share * of.size, 1) for of in jumps if of.size)
