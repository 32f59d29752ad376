"""Areas with their blocks, as the search moves them: by their sides."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from depixel.areas.area import ResolvedArea
from depixel.areas.grid import block_means


class Box(NamedTuple):
    """An area [x0, x1) x [y0, y1) with its square blocks; offsets as of `depixel.areas.area.Area`; all in pixels."""

    x0: int
    y0: int
    x1: int
    y1: int
    size: int
    offset_x: int
    offset_y: int

    @property
    def area(self) -> ResolvedArea:
        """The same by its corner, width and height."""
        width, height = self.x1 - self.x0, self.y1 - self.y0
        return ResolvedArea(self.x0, self.y0, width, height, self.size, offset_x=self.offset_x, offset_y=self.offset_y)

    def overlap(self, other: "Box") -> float:
        """Share of the smaller of the two that both cover."""
        wide = min(self.x1, other.x1) - max(self.x0, other.x0)
        high = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(wide, 0) * max(high, 0) / min(self.pixels, other.pixels)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def without(self, other: "Box") -> "Box":
        """What is left beside, above or below another area: the largest such part, with the same grid."""
        left, top = min(other.x1, self.x1) - self.x0, min(other.y1, self.y1) - self.y0
        parts = [
            self._replace(x1=max(other.x0, self.x0)),
            self._replace(y1=max(other.y0, self.y0)),
            self._replace(x0=self.x0 + left, offset_x=(self.offset_x + left) % self.size),
            self._replace(y0=self.y0 + top, offset_y=(self.offset_y + top) % self.size),
        ]
        return max(parts, key=lambda part: part.pixels)

    def moved(self, x: int, y: int) -> "Box":
        """The same box x pixels to the right and y pixels down."""
        return self._replace(x0=self.x0 + x, x1=self.x1 + x, y0=self.y0 + y, y1=self.y1 + y)

    def plain(self) -> "Box":
        """The same area; where no line is seen along an axis, the grid begins with the area."""
        x, y = self.lines()
        return self._replace(offset_x=self.offset_x if len(x) else 0, offset_y=self.offset_y if len(y) else 0)

    def odd(self) -> list[np.ndarray]:
        """The lines along those axes where the first block is cut off."""
        return [lines for lines, offset in zip(self.lines(), (self.offset_x, self.offset_y), strict=True) if offset]

    def lines(self) -> tuple[np.ndarray, np.ndarray]:
        """The first columns and rows of all blocks but the first."""
        x = lines_of(self.x0, self.x1, self.size, self.offset_x)
        return x, lines_of(self.y0, self.y1, self.size, self.offset_y)


def lines_of(start: int, stop: int, size: int, offset: int) -> np.ndarray:
    """Where blocks but the first begin in [start, stop), whose first one lacks `offset` pixels."""
    return np.arange(start + size - offset, stop, size)


class Candidate(NamedTuple):
    """An area that may be pixelated. score: of its log-likelihood ratio; certain: as of `Found`."""

    score: float
    box: Box
    certain: bool


def apart(found: list[Candidate], before: Sequence[Candidate] = ()) -> list[Candidate]:
    """Those `before`, then certain ones, then by score; what overlaps an earlier one left out, or cut if by little."""
    kept = list(before)
    for candidate in sorted(found, key=lambda one: (-one.certain, -one.score)):
        if any(candidate.box.overlap(other.box) >= 0.2 for other in kept):
            continue
        box = candidate.box
        for other in kept:
            if box.overlap(other.box) > 0:  # what is cut already may not overlap the next any more
                box = box.without(other.box).plain()
        kept.append(candidate._replace(box=box))
    return kept


def differ(gray: np.ndarray, box: Box, least: float, share: float = 1 / 3) -> bool:
    """Whether along each axis this share of neighbouring blocks, and one at least, differ by `least` gray levels.

    In photos a third do, in drawings and in smooth parts few.
    """
    area = gray[box.y0 : box.y1, box.x0 : box.x1, None]
    means = block_means(area, box.size, (box.offset_x, box.offset_y))[:, :, 0]
    jumps = [np.abs(np.diff(means, axis=axis)).ravel() for axis in (0, 1)]
    return all((of >= least).sum() >= max(share * of.size, 1) for of in jumps if of.size)
