"""Areas: pixelated rectangles of a picture, as a person names them."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from depixel.areas.grid import MOST_BLOCK, Lacks
from depixel.base.errors import DepixelError
from depixel.model.pixelation import LEAST_AREA, LEAST_BLOCK


class Area(NamedTuple):
    """A pixelated rectangle, in pixels from the upper left corner, where its blocks begin; those at the right and at
    the bottom may be cut off. `block_size` None: to be found. `offset_x`, `offset_y`: how many columns and rows the
    first blocks lack, where those at the left and at the top are cut off, too; 0 to block_size - 1."""

    x: int
    y: int
    width: int
    height: int
    block_size: int | None = None
    offset_x: int = 0
    offset_y: int = 0

    @property
    def lacks(self) -> Lacks:
        return self.offset_y, self.offset_x

    def numbers(self) -> list[int]:
        """Without offsets where there are none."""
        return list(self if any(self.lacks) else self[:5])

    def described(self) -> str:
        """For people, with numbers that `--area` takes."""
        if any(self.lacks):
            return f"{','.join(map(str, self))} (blocks of {self.block_size}, the first ones cut off)"
        return f"{','.join(map(str, self[:4]))} in blocks of {self.block_size}"


def refuse_overlap(areas: list[Area]) -> None:
    for one, other in combinations(areas, 2):
        across = one.x < other.x + other.width and other.x < one.x + one.width
        if across and one.y < other.y + other.height and other.y < one.y + one.height:
            raise DepixelError(f"the areas {named(one)} and {named(other)} overlap: each pixel is in one area at most")


def checked(given: Sequence[int | None], width: int, height: int) -> Area:
    """The area, its numbers as int, if it is inside a picture of this size."""
    try:
        wrong = len(given) not in (4, 5, 7) or None in (*given[:4], *given[5:])
        wrong |= any(int(value) != value for value in given if value is not None)
    except (TypeError, ValueError, OverflowError):  # no sequence, or of no numbers
        wrong = True
    if wrong:
        raise DepixelError(
            f"{given!r} is no area: x, y, width, height and, if known, block size, whole numbers; and if the first "
            "blocks are cut off, how many columns and rows they lack"
        )
    area = Area(*(None if value is None else int(value) for value in given))
    if min(area.width, area.height) < LEAST_AREA:
        raise DepixelError(f"area {named(area)}: it has at least {LEAST_AREA} pixels a side")
    if area.x < 0 or area.y < 0 or area.x + area.width > width or area.y + area.height > height:
        raise DepixelError(
            f"area {named(area)}: x from {area.x} to {area.x + area.width} and y from {area.y} to "
            f"{area.y + area.height} are not inside the picture, which is {width} pixels wide and {height} high"
        )
    if area.block_size is not None and not LEAST_BLOCK <= area.block_size <= MOST_BLOCK:
        raise DepixelError(f"blocks have {LEAST_BLOCK} to {MOST_BLOCK} pixels a side, not {area.block_size}")
    if any(area.lacks) and not all(0 <= lack < (area.block_size or 0) for lack in area.lacks):
        raise DepixelError(
            f"area {named(area)}: first blocks lack 0 to {area.block_size or 'their size'} - 1 columns and rows, not "
            f"{area.offset_x} and {area.offset_y}"
            + ("" if area.block_size else "; with them, the block size is to be named")
        )
    return area._replace(  # of one block along an axis, none is said to be the first
        offset_x=area.offset_x if area.width > (area.block_size or 0) - area.offset_x else 0,
        offset_y=area.offset_y if area.height > (area.block_size or 0) - area.offset_y else 0,
    )


def named(area: Area) -> str:
    return ",".join(map(str, area[:4]))
