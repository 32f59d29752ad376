"""Areas: the pixelated parts of a picture.

A person names a rectangle, perhaps with its block size: an `Area`. Detection completes it from the pixels: a
`ResolvedArea`. Only this module reads and writes areas as numbers.
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
"""Pattern of a length that need not be whole, in pixels: 8, 7.5, 25/3."""


@dataclass(frozen=True)
class Area:
    """A pixelated rectangle of a picture, as a person names it.

    Attributes:
        x, y: its upper left corner, pixels from that of the picture.
        width, height: its size, pixels.
        block_width, block_height: sides of a block, pixels; None: unknown. A missing height means square blocks.
        offset_x, offset_y: number of columns and rows that the area cuts off the first blocks, at its left and upper
            side; 0 to less than a block. 0: blocks begin at the upper left corner. The last blocks may also be cut off.
        mask: (height, width) bool, True where the rectangle is pixelated; None: everywhere.
        lines_x, lines_y: see `Grid`.
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
            object.__setattr__(self, "block_height", self.block_width)  # a frozen dataclass allows no assignment

    @staticmethod
    def of(given: "AreaLike") -> "Area":
        """Read an area as `--area`, .areas.json, the HTTP API and Python callers write it.

        Args:
            given: one of three forms. A sequence: x, y, width, height; optionally the block size, a number or
                "WIDTHxHEIGHT" or None; optionally offset_x and offset_y. The block size and the offsets may be
                fractions: an int, a float, a `Fraction` or text such as "7.5x5.625" or "25/3x8". A mapping, by the
                number of blocks across and down: {"area": [x, y, width, height], "grid": [columns, rows]}. An `Area`,
                which is returned unchanged.

        Raises:
            DepixelError: `given` has none of these forms, or x, y, width or height is not whole.
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
                f"{given!r} is no area. An area is x, y, width, height and, if known, the block size (8, or 16x8 if "
                "blocks are not square); if the first blocks are cut off, also the number of missing columns and rows"
            ) from None
        return Area(x, y, width, height, across, block_height=down, offset_x=offset_x, offset_y=offset_y)

    def in_grid(self, columns: int, rows: int) -> "Area":
        """The same area with this number of blocks across (columns) and down (rows).

        Raises:
            DepixelError: a number is below 1 or not whole, or blocks would be smaller than `LEAST_BLOCK` pixels.
        """
        for count, length, name in ((columns, self.width, "wide"), (rows, self.height, "high")):
            if count != int(count) or not 1 <= count <= length // LEAST_BLOCK:
                raise DepixelError(
                    f"area {self.place}: it is {length} pixels {name}, and {count} blocks do not fit in. Give a whole "
                    f"number from 1; a block has at least {LEAST_BLOCK} pixels a side"
                )
        return replace(
            self,
            block_width=as_pixels(Fraction(self.width, int(columns))),
            block_height=as_pixels(Fraction(self.height, int(rows))),
        )

    def numbers(self) -> list[int | str]:
        """The area as a list that `of` reads, without an unknown block size or zero offsets; fractions are text."""
        place: list[int | str] = [self.x, self.y, self.width, self.height]
        if self.block_width is None or self.block_height is None:
            return place
        offset = [_written(self.offset_x), _written(self.offset_y)] if self.offset_x or self.offset_y else []
        return [*place, self.blocks if not self.is_square else _written(self.block_width), *offset]

    @property
    def blocks(self) -> str:
        """The block size as messages name it and `of` reads it: "8" or "16x8"; "" if unknown."""
        if self.block_width is None or self.block_height is None:
            return ""
        one = f"{_written(self.block_width)}"
        return one if self.block_width == self.block_height else f"{one}x{_written(self.block_height)}"

    @property
    def block_size(self) -> int | None:
        """Side of its square blocks, pixels; None: unknown.

        Raises:
            DepixelError: blocks are not squares of whole pixels.
        """
        if self.block_width is None:
            return None
        if not self.is_square:
            raise DepixelError(f"area {self.place}: blocks of {self.blocks} pixels; here they must be whole and square")
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
        """Its rows and columns as slices, to index the pixels of a picture."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def overlaps(self, other: "Area") -> bool:
        """Whether the two areas share a pixel, masks included."""
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
        """The same area with this block size, pixels; without a height, blocks are square."""
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
        """The same area in square blocks of `size` pixels; `offset`, in pixels, replaces its own offset."""
        return self.in_blocks(Grid(size, size, *((self.offset_x, self.offset_y) if offset is None else offset)))

    def checked(self: "A", width: int, height: int) -> "A":
        """Check the area against a picture of this width and height in pixels, and return it.

        The offset along an axis becomes 0 if a single block covers the area, because no pixel shows that offset.

        Raises:
            DepixelError: the area is too small or reaches outside the picture, or its block size, offset or mask is
                out of range.
        """
        sides = self.block_width, self.block_height
        if self.mask is not None and self.mask.shape != (self.height, self.width):
            raise DepixelError(
                f"area {self.place}: the mask has the shape {self.mask.shape}, must be {(self.height, self.width)}"
            )
        if min(self.width, self.height) < LEAST_AREA:
            raise DepixelError(f"area {self.place}: must have at least {LEAST_AREA} pixels a side")
        ends = (("x", self.x, self.x + self.width, width), ("y", self.y, self.y + self.height, height))
        if outside := [f"{axis} from {start} to {end}" for axis, start, end, most in ends if start < 0 or end > most]:
            raise DepixelError(
                f"area {self.place}: {' and '.join(outside)} {'is' if len(outside) == 1 else 'are'} not inside the "
                f"picture, which is {width} pixels wide and {height} high"
            )
        if any(side is not None and not LEAST_BLOCK <= side <= MOST_BLOCK for side in sides):
            raise DepixelError(
                f"area {self.place}: blocks must have {LEAST_BLOCK} to {MOST_BLOCK} pixels a side, not {self.blocks}"
            )
        offset = self.offset_x, self.offset_y
        if any(offset) and not all(0 <= lacking < (side or 0) for lacking, side in zip(offset, sides, strict=True)):
            raise DepixelError(
                f"area {self.place}: first blocks can lack 0 to {self.blocks or 'size'} - 1 columns and rows, not "
                f"{_written(offset[0])} and {_written(offset[1])}"
                + ("" if self.blocks else ". Give the block size, too")
            )
        return replace(
            self,
            offset_x=offset[0] if self.width > (sides[0] or 0) - offset[0] else 0,
            offset_y=offset[1] if self.height > (sides[1] or 0) - offset[1] else 0,
        )


A = TypeVar("A", bound=Area)


@dataclass(frozen=True)
class ResolvedArea(Area):
    """A pixelated rectangle with known blocks, ready to restore. Attributes: as in `Area`; block sizes are not None."""

    block_width: Pixels
    block_height: Pixels = field(default=0, kw_only=True)  # 0: the same as `block_width`

    @property
    def grid(self) -> Grid:
        """The grid of its blocks."""
        assert self.block_height is not None  # noqa: S101 - the type of `Area` allows None
        return Grid(self.block_width, self.block_height, self.offset_x, self.offset_y, self.lines_x, self.lines_y)

    def columns(self) -> tuple[int, int, int, int, int, int, int]:
        """A row of the area arrays that networks take: x, y, width, height, block size, offset_x, offset_y; pixels.

        Raises:
            DepixelError: blocks are not squares of whole pixels.
        """
        return self.x, self.y, self.width, self.height, self.block_size or 0, int(self.offset_x), int(self.offset_y)

    def described(self) -> str:
        """The area for people, in numbers that `--area` accepts."""
        if self.offset_x >= 1 or self.offset_y >= 1:
            numbers = ",".join(map(str, self.numbers()))
            return f"{numbers} (blocks of {self.blocks}, the first ones cut off)"
        return f"{self.place} in blocks of {self.blocks}"


AreaLike = Area | Sequence[Any] | Mapping[str, Sequence[int]]
"""The forms of an area that callers may give, see `Area.of`."""


def checked_areas(areas: Iterable[AreaLike], width: int, height: int) -> list[Area]:
    """Read and check the areas of a picture of this width and height, pixels.

    Raises:
        DepixelError: `areas` is not iterable, one of them is no area (`Area.of`) or cannot be in this picture
            (`Area.checked`), or two overlap.
    """
    if not isinstance(areas, Iterable):
        raise DepixelError(
            f"{areas!r} is no list of areas. Each area is x, y, width, height and, if known, the block size"
        )
    checked = [Area.of(given).checked(width, height) for given in areas]
    for one, other in combinations(checked, 2):
        if one.overlaps(other):
            raise DepixelError(f"the areas {one.place} and {other.place} overlap. A pixel can be in one area only")
    return checked


def masked(mask: np.ndarray, areas: Sequence[Area], shape: tuple[int, ...]) -> list[Area]:
    """Make areas in the shapes of a mask.

    Args:
        mask: (H, W) or (H, W, 3) uint8, 128 or more where the picture is pixelated.
        areas: rectangles to which the mask is applied; none: each connected piece of the mask becomes an area.
        shape: height and width of the picture, pixels.

    Raises:
        DepixelError: the mask and the picture differ in size, or the mask is dark everywhere or within an area.
    """
    if mask.shape[:2] != shape[:2]:
        sizes = [f"{width} x {height}" for height, width in (mask.shape[:2], shape[:2])]
        raise DepixelError(f"the mask has {sizes[0]} pixels, the picture {sizes[1]}. They must have the same size")
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
    raise DepixelError(f"the mask is dark {place}. It must be light (128 or more) where the picture is pixelated")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError
    return int(value)


def _length(value: Any) -> Pixels:
    """Read a length that need not be whole. Raises ValueError or TypeError if `value` is no number."""
    if isinstance(value, str) and not re.fullmatch(LENGTH, value.strip()):
        raise ValueError  # Fraction("1e999999999") would take for ever
    exact = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    return as_pixels(exact)


def _sides(block: Any) -> tuple[Pixels | None, Pixels | None]:
    """Width and height of a block from 8, "8", "16x8" or None."""
    if block is None:
        return None, None
    across, _, down = block.partition("x") if isinstance(block, str) else (block, "", "")
    return _length(across), _length(down or across)


def _written(value: Pixels) -> int | str:
    """A length as people and `_length` read it: 8, "7.5", "25/3"."""
    value = Fraction(value)
    if value.denominator == 1:
        return int(value)
    decimal = f"{float(value):.4f}".rstrip("0")
    return decimal if Fraction(decimal) == value else str(value)
