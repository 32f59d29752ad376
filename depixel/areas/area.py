"""Areas: the pixelated parts of a picture.

A person names a rectangle, perhaps with the size of its blocks: an `Area`. The pixels show what is missing, which makes
it a `ResolvedArea`. Both are read and written as numbers here alone.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from depixel.areas.grid import MOST_BLOCK, Grid, Pixels, as_pixels
from depixel.base.errors import DepixelError
from depixel.model.pixelation import LEAST_AREA, LEAST_BLOCK

LENGTH = r"[0-9]{1,6}(\.[0-9]{1,4}|/[0-9]{1,4})?"
"""How a length that need not be whole is written: 8, 7.5, 25/3."""


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
        lines_x, lines_y: as of `Grid`.
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
    lines_x: tuple[int, ...] | None = field(default=None, kw_only=True, compare=False, repr=False)
    lines_y: tuple[int, ...] | None = field(default=None, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.block_height:
            object.__setattr__(self, "block_height", self.block_width)  # as frozen dataclasses set a field

    @staticmethod
    def of(given: "AreaLike") -> "Area":
        """An area as `--area`, .areas.json, the HTTP API and Python callers name it.

        Args:
            given: x, y, width, height; perhaps the side of a block, a number or "WIDTHxHEIGHT", or None; perhaps
                offset_x and offset_y. What need not be whole may be an int, a float, a `Fraction` or the text of one:
                "7.5x5.625", "25/3x8". Or {"area": [x, y, width, height], "grid": [columns, rows]}, by the number of
                blocks across and down. Or an `Area`, which is returned as it is.

        Raises:
            DepixelError: it is none of these, or a number is not whole that must be.
        """
        if isinstance(given, Area):
            return given
        try:
            if isinstance(given, Mapping):
                (x, y, width, height), (columns, rows) = given["area"], given["grid"]
                return Area.of([x, y, width, height]).in_grid(columns, rows)
            x, y, width, height = map(_whole, given[:4])
            if len(given) not in (4, 5, 7):
                raise ValueError
            block = given[4] if len(given) > 4 else None
            across, down = _sides(block)
            offset_x, offset_y = map(_length, given[5:]) if len(given) > 5 else (0, 0)
        except (TypeError, ValueError, OverflowError, KeyError, ZeroDivisionError):  # no sequence, or of no numbers
            raise DepixelError(
                f"{given!r} is no area: x, y, width, height and, if known, block size (8, or 16x8 if blocks are not "
                "square); and if the first blocks are cut off, how many columns and rows they lack"
            ) from None
        return Area(x, y, width, height, across, block_height=down, offset_x=offset_x, offset_y=offset_y)

    def in_grid(self, columns: int, rows: int) -> "Area":
        """The same area in a number of blocks across and down.

        Raises:
            DepixelError: there are less than one, or they would have less than `LEAST_BLOCK` pixels a side.
        """
        for count, length, name in ((columns, self.width, "wide"), (rows, self.height, "high")):
            if count != int(count) or not 1 <= count <= length // LEAST_BLOCK:
                raise DepixelError(
                    f"area {self.place}: it is {length} pixels {name}, which {count} blocks do not fit in; each has "
                    f"{LEAST_BLOCK} pixels at least"
                )
        return replace(
            self,
            block_width=as_pixels(Fraction(self.width, int(columns))),
            block_height=as_pixels(Fraction(self.height, int(rows))),
        )

    def numbers(self) -> list[int | str]:
        """What `of` reads: no block size if it is not known, no offsets if there are none; text for fractions."""
        place: list[int | str] = [self.x, self.y, self.width, self.height]
        if self.block_width is None or self.block_height is None:
            return place
        offset = [_written(self.offset_x), _written(self.offset_y)] if self.offset_x or self.offset_y else []
        return [*place, self.blocks if not self.is_square else _written(self.block_width), *offset]

    @property
    def blocks(self) -> str:
        """The sides of its blocks as messages name them, and as `of` reads them: "8", or "16x8"."""
        if self.block_width is None or self.block_height is None:
            return ""
        one = f"{_written(self.block_width)}"
        return one if self.block_width == self.block_height else f"{one}x{_written(self.block_height)}"

    @property
    def block_size(self) -> int | None:
        """Side of its blocks, pixels; None: not known.

        Raises:
            DepixelError: blocks are not squares of whole pixels.
        """
        if self.block_width is None:
            return None
        if not self.is_square:
            raise DepixelError(f"area {self.place}: its blocks of {self.blocks} pixels are no squares of whole pixels")
        return int(self.block_width)

    @property
    def is_square(self) -> bool:
        """Whether blocks are squares of whole pixels."""
        return self.block_width == self.block_height and self.block_width == int(self.block_width or 0)

    @property
    def place(self) -> str:
        """x,y,width,height, as messages name an area."""
        return f"{self.x},{self.y},{self.width},{self.height}"

    @property
    def part(self) -> tuple[slice, slice]:
        """Its rows and columns, to index the pixels of a picture with."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def overlaps(self, other: "Area") -> bool:
        """Whether a pixel is in both."""
        left, top = max(self.x, other.x), max(self.y, other.y)
        right = min(self.x + self.width, other.x + other.width)
        bottom = min(self.y + self.height, other.y + other.height)
        if right <= left or bottom <= top:
            return False
        both = np.ones((bottom - top, right - left), bool)
        for area in (self, other):
            if area.mask is not None:
                both &= area.mask[top - area.y : bottom - area.y, left - area.x : right - area.x]
        return bool(both.any())

    def moved(self: "A", x: int, y: int) -> "A":
        """The same area x pixels to the right and y pixels down."""
        return replace(self, x=self.x + x, y=self.y + y)

    def with_blocks(self: "A", width: Pixels, height: Pixels | None = None) -> "A":
        """The same area with these sides of its blocks, pixels; no height: square ones."""
        return replace(self, block_width=width, block_height=width if height is None else height)

    def in_blocks(self, grid: Grid) -> "ResolvedArea":
        """The same area with this grid of blocks."""
        return ResolvedArea(
            self.x,
            self.y,
            self.width,
            self.height,
            grid.width,
            block_height=grid.height,
            offset_x=grid.offset_x,
            offset_y=grid.offset_y,
            mask=self.mask,
            lines_x=grid.lines_x,
            lines_y=grid.lines_y,
        )

    def in_blocks_of(self, size: int, offset: tuple[int, int] | None = None) -> "ResolvedArea":
        """The same area in square blocks of this size, with its own offset or another one; pixels."""
        return self.in_blocks(Grid(size, size, *((self.offset_x, self.offset_y) if offset is None else offset)))

    def checked(self: "A", width: int, height: int) -> "A":
        """The same area if it can be one of a picture of this width and height, pixels.

        The offset along an axis becomes 0 where a single block covers the area: nothing shows which one is the first.

        Raises:
            DepixelError: it is too small, is not inside the picture, or has blocks, an offset or a mask that cannot be.
        """
        sides = self.block_width, self.block_height
        if self.mask is not None and self.mask.shape != (self.height, self.width):
            raise DepixelError(
                f"area {self.place}: its mask has the shape {self.mask.shape}, not its own height and width"
            )
        if min(self.width, self.height) < LEAST_AREA:
            raise DepixelError(f"area {self.place}: it has at least {LEAST_AREA} pixels a side")
        if self.x < 0 or self.y < 0 or self.x + self.width > width or self.y + self.height > height:
            raise DepixelError(
                f"area {self.place}: x from {self.x} to {self.x + self.width} and y from {self.y} to "
                f"{self.y + self.height} are not inside the picture, which is {width} pixels wide and {height} high"
            )
        if any(side is not None and not LEAST_BLOCK <= side <= MOST_BLOCK for side in sides):
            raise DepixelError(f"blocks have {LEAST_BLOCK} to {MOST_BLOCK} pixels a side, not {self.blocks}")
        offset = self.offset_x, self.offset_y
        if any(offset) and not all(0 <= lacking < (side or 0) for lacking, side in zip(offset, sides, strict=True)):
            raise DepixelError(
                f"area {self.place}: first blocks lack 0 to {self.blocks or 'their size'} - 1 columns and rows, not "
                f"{_written(offset[0])} and {_written(offset[1])}"
                + ("" if self.blocks else "; with them, the block size is to be named")
            )
        return replace(
            self,
            offset_x=offset[0] if self.width > (sides[0] or 0) - offset[0] else 0,
            offset_y=offset[1] if self.height > (sides[1] or 0) - offset[1] else 0,
        )


A = TypeVar("A", bound=Area)


@dataclass(frozen=True)
class ResolvedArea(Area):
    """A pixelated rectangle whose blocks are known: what is restored. Attributes: as of `Area`, none of them None."""

    block_width: Pixels
    block_height: Pixels = field(default=0, kw_only=True)  # 0: as `block_width`

    @property
    def grid(self) -> Grid:
        """Its blocks."""
        assert self.block_height is not None  # noqa: S101 - the type of `Area` allows None
        return Grid(self.block_width, self.block_height, self.offset_x, self.offset_y, self.lines_x, self.lines_y)

    def columns(self) -> tuple[int, int, int, int, int, int, int]:
        """x, y, width, height, block size, offset_x, offset_y a row of the arrays of areas that networks take.

        Raises:
            DepixelError: as `block_size`.
        """
        return self.x, self.y, self.width, self.height, self.block_size or 0, int(self.offset_x), int(self.offset_y)

    def described(self) -> str:
        """For people, with numbers that `--area` takes."""
        if self.offset_x >= 1 or self.offset_y >= 1:
            numbers = ",".join(map(str, self.numbers()))
            return f"{numbers} (blocks of {self.blocks}, the first ones cut off)"
        return f"{self.place} in blocks of {self.blocks}"


AreaLike = Area | Sequence[Any] | Mapping[str, Sequence[int]]
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
        if one.overlaps(other):
            raise DepixelError(f"the areas {one.place} and {other.place} overlap: each pixel is in one area at most")
    return checked


def masked(mask: np.ndarray, areas: Sequence[Area], shape: tuple[int, ...]) -> list[Area]:
    """Areas in the shapes that a mask shows.

    Args:
        mask: (H, W) or (H, W, 3) uint8, 128 and more where a picture is pixelated.
        areas: rectangles within which the mask counts; none: each piece of the mask is an area of its own.
        shape: height and width of the picture.

    Raises:
        DepixelError: the mask has another size, or is dark everywhere, or within one of the areas.
    """
    if mask.shape[:2] != shape[:2]:
        sizes = [f"{width} x {height}" for height, width in (mask.shape[:2], shape[:2])]
        raise DepixelError(f"the mask has {sizes[0]} pixels, the picture {sizes[1]}: they must have the same size")
    hidden = (mask if mask.ndim == 2 else mask.max(axis=2)) >= 128
    if not areas:
        from scipy.ndimage import find_objects, label  # SciPy takes long to load

        pieces, _ = label(hidden)
        places = enumerate(find_objects(pieces), 1)
        found = [(at[1].start, at[0].start, at[1].stop, at[0].stop, pieces[at] == number) for number, at in places]
        return [_shaped(Area(x0, y0, x1 - x0, y1 - y0), part) for x0, y0, x1, y1, part in found] or [
            _dark("everywhere")
        ]
    return [_shaped(area, hidden[area.part]) if hidden[area.part].any() else _dark(area.place) for area in areas]


def _shaped(area: Area, hidden: npt.NDArray[np.bool_]) -> Area:
    return area if hidden.all() else replace(area, mask=hidden)


def _dark(where: str) -> NoReturn:
    place = where if where == "everywhere" else f"at {where}"
    raise DepixelError(f"the mask is dark {place}: it must be light (128 and more) where the picture is pixelated")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError
    return int(value)


def _length(value: Any) -> Pixels:
    """A number that need not be whole, from any of its forms; ValueError, TypeError: it is none."""
    if isinstance(value, str) and not re.fullmatch(LENGTH, value.strip()):
        raise ValueError  # such as 1e999999999, which takes for ever
    exact = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    return as_pixels(exact)


def _sides(block: Any) -> tuple[Pixels | None, Pixels | None]:
    """Width and height of a block from 8, "8", "16x8" or None."""
    if block is None:
        return None, None
    across, _, down = block.partition("x") if isinstance(block, str) else (block, "", "")
    return _length(across), _length(down or across)


def _written(value: Pixels) -> int | str:
    """As a person reads it, and `_length`: 8, "7.5", "25/3"."""
    value = Fraction(value)
    if value.denominator == 1:
        return int(value)
    decimal = f"{float(value):.4f}".rstrip("0")
    return decimal if Fraction(decimal) == value else str(value)
