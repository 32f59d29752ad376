"""Areas: the pixelated parts of a picture.

A person names a rectangle, perhaps with the size of its blocks: an `Area`. The pixels show what is missing, which makes
it a `ResolvedArea`. Both are read and written as numbers here alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from depixel.areas.grid import MOST_BLOCK
from depixel.base.errors import DepixelError
from depixel.model.pixelation import LEAST_AREA, LEAST_BLOCK

Pixels = int | Fraction
"""A length that need not be whole: a tool may lay blocks of 15/2 pixels."""


@dataclass(frozen=True)
class Area:
    """A pixelated rectangle of a picture, as a person names it.

    Attributes:
        x, y: its upper left corner, pixels from that of the picture. width, height: pixels.
        block_width, block_height: sides of a block, pixels; None: not known. Blocks without a height are square.
        offset_x, offset_y: number of columns and rows that the first blocks lack, because the area cuts them off at its
            left and upper side: 0 to less than a block. 0: blocks begin at the upper left corner. The last blocks may
            be cut off, too.
        mask: (height, width) bool, True where the rectangle is pixelated; None: everywhere.
    """

    x: int
    y: int
    width: int
    height: int
    block_width: Pixels | None = None
    block_height: Pixels | None = field(default=None, kw_only=True)
    offset_x: Pixels = field(default=0, kw_only=True)
    offset_y: Pixels = field(default=0, kw_only=True)
    mask: npt.NDArray[np.bool_] | None = field(default=None, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.block_height:
            object.__setattr__(self, "block_height", self.block_width)  # as frozen dataclasses set a field

    @staticmethod
    def of(given: "Area | Sequence[int | None]") -> "Area":
        """An area from the numbers that `--area`, .areas.json, the HTTP API and Python callers name it by.

        Args:
            given: x, y, width, height; perhaps the side of a block or None; perhaps offset_x and offset_y. Or an
                `Area`, which is returned as it is.

        Raises:
            DepixelError: not 4, 5 or 7 numbers, or one is not whole.
        """
        if isinstance(given, Area):
            return given
        try:
            wrong = len(given) not in (4, 5, 7) or None in (*given[:4], *given[5:])
            wrong |= any(int(value) != value for value in given if value is not None)
        except (TypeError, ValueError, OverflowError, KeyError):  # no sequence, or of no numbers
            wrong = True
        if wrong:
            raise DepixelError(
                f"{given!r} is no area: x, y, width, height and, if known, block size, whole numbers; and if the first "
                "blocks are cut off, how many columns and rows they lack"
            )
        x, y, width, height, *offset = (int(value) for value in (*given[:4], *given[5:]) if value is not None)
        size = given[4] if len(given) > 4 else None
        offset_x, offset_y = offset or (0, 0)
        block = None if size is None else int(size)
        return Area(x, y, width, height, block, offset_x=offset_x, offset_y=offset_y)

    def numbers(self) -> list[int]:
        """The numbers that `of` reads: no block size if it is not known, no offsets if there are none.

        Raises:
            DepixelError: as `block_size`.
        """
        size, offset = self.block_size, self.offset
        block = [] if size is None else [size, *(offset if any(offset) else ())]
        return [self.x, self.y, self.width, self.height, *block]

    @property
    def block_size(self) -> int | None:
        """Side of a block, pixels; None: not known.

        Raises:
            DepixelError: blocks are not square, or not of whole pixels; nothing restores those yet.
        """
        if self.block_width is None:
            return None
        if self.block_width != self.block_height or self.block_width != int(self.block_width):
            raise DepixelError(
                f"area {self.place}: blocks of {self.block_width} x {self.block_height} pixels are not restored yet, "
                "only square blocks of whole pixels"
            )
        return int(self.block_width)

    @property
    def offset(self) -> tuple[int, int]:
        """offset_x and offset_y in whole pixels.

        Raises:
            DepixelError: they are not whole; nothing restores such areas yet.
        """
        if self.offset_x != int(self.offset_x) or self.offset_y != int(self.offset_y):
            raise DepixelError(
                f"area {self.place}: first blocks that lack {self.offset_x} columns and {self.offset_y} rows are not "
                "restored yet, only whole pixels"
            )
        return int(self.offset_x), int(self.offset_y)

    @property
    def place(self) -> str:
        """x,y,width,height, as messages name an area."""
        return f"{self.x},{self.y},{self.width},{self.height}"

    @property
    def part(self) -> tuple[slice, slice]:
        """Its rows and columns, to index the pixels of a picture with."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def moved(self: "A", x: int, y: int) -> "A":
        """The same area x pixels to the right and y pixels down."""
        return replace(self, x=self.x + x, y=self.y + y)

    def with_block_size(self: "A", size: int) -> "A":
        """The same area with this side of its blocks, pixels."""
        return replace(self, block_width=size, block_height=size)

    def in_blocks_of(self, size: int, offset: tuple[int, int] | None = None) -> "ResolvedArea":
        """The same area in square blocks of this size, with its own offset or another one; pixels."""
        offset_x, offset_y = self.offset if offset is None else offset
        return ResolvedArea(
            self.x, self.y, self.width, self.height, size, offset_x=offset_x, offset_y=offset_y, mask=self.mask
        )

    def checked(self: "A", width: int, height: int) -> "A":
        """The same area if it can be one of a picture of this width and height, pixels.

        The offset along an axis becomes 0 where a single block covers the area: nothing shows which one is the first.

        Raises:
            DepixelError: it is too small, is not inside the picture, or has blocks, an offset or a mask that nothing
                restores.
        """
        size, offset = self.block_size, self.offset
        if self.mask is not None:
            raise DepixelError(f"area {self.place}: areas with a mask are not restored yet; name a rectangle")
        if min(self.width, self.height) < LEAST_AREA:
            raise DepixelError(f"area {self.place}: it has at least {LEAST_AREA} pixels a side")
        if self.x < 0 or self.y < 0 or self.x + self.width > width or self.y + self.height > height:
            raise DepixelError(
                f"area {self.place}: x from {self.x} to {self.x + self.width} and y from {self.y} to "
                f"{self.y + self.height} are not inside the picture, which is {width} pixels wide and {height} high"
            )
        if size is not None and not LEAST_BLOCK <= size <= MOST_BLOCK:
            raise DepixelError(f"blocks have {LEAST_BLOCK} to {MOST_BLOCK} pixels a side, not {size}")
        if any(offset) and not all(0 <= lacking < (size or 0) for lacking in offset):
            raise DepixelError(
                f"area {self.place}: first blocks lack 0 to {size or 'their size'} - 1 columns and rows, not "
                f"{offset[0]} and {offset[1]}" + ("" if size else "; with them, the block size is to be named")
            )
        return replace(
            self,
            offset_x=offset[0] if self.width > (size or 0) - offset[0] else 0,
            offset_y=offset[1] if self.height > (size or 0) - offset[1] else 0,
        )


A = TypeVar("A", bound=Area)


@dataclass(frozen=True)
class ResolvedArea(Area):
    """A pixelated rectangle whose blocks are known: what is restored. Attributes: as of `Area`, none of them None."""

    block_width: Pixels
    block_height: Pixels = field(default=0, kw_only=True)  # 0: as `block_width`

    @property
    def block_size(self) -> int:
        """Side of a block, pixels. Raises DepixelError: as that of `Area`."""
        size = super().block_size
        assert size is not None  # noqa: S101 - there is a width
        return size

    def columns(self) -> tuple[int, int, int, int, int, int, int]:
        """x, y, width, height, block size, offset_x, offset_y: a row of the arrays of areas that networks take.

        Raises:
            DepixelError: as `block_size`.
        """
        return (self.x, self.y, self.width, self.height, self.block_size, *self.offset)

    def described(self) -> str:
        """For people, with numbers that `--area` takes."""
        if any(self.offset):
            return f"{','.join(map(str, self.columns()))} (blocks of {self.block_size}, the first ones cut off)"
        return f"{self.place} in blocks of {self.block_size}"


AreaLike = Area | Sequence[int | None]
"""What callers may name an area by: see `Area.of`."""


def checked_areas(areas: Iterable[AreaLike], width: int, height: int) -> list[Area]:
    """The areas that are named, if all of them can be areas of one picture of this width and height, pixels.

    Raises:
        DepixelError: there are no areas to go through, one is none (`Area.of`, `Area.checked`), or two overlap.
    """
    if not isinstance(areas, Iterable):
        raise DepixelError(f"{areas!r} are no areas: each is x, y, width, height and, if known, block size")
    checked = [Area.of(given).checked(width, height) for given in areas]
    for one, other in combinations(checked, 2):
        across = one.x < other.x + other.width and other.x < one.x + one.width
        if across and one.y < other.y + other.height and other.y < one.y + one.height:
            raise DepixelError(f"the areas {one.place} and {other.place} overlap: each pixel is in one area at most")
    return checked
