"""How much a pixelation hides: what comes back of a photo at this block size, and at larger ones."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np

from depixel.areas.area import Area, AreaLike
from depixel.areas.grid import MOST_BLOCK, shown_block_size, shows_multiples
from depixel.base.errors import DepixelError
from depixel.model.pixelation import LEAST_BLOCK
from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer
from depixel.pictures.tools import Tool, counts

FACTORS = tuple(factor * 2**power for power in range(7) for factor in (1, 1.5))
"""Which block sizes are looked at, as multiples of the one that was asked about: 1, 1.5, 2, 3, 4, 6, ...; and then
those between the last one that is not enough and the next, as far as bisection needs them."""

FEW = 4
"""Blocks along the shorter side. Familiar faces have been recognized in pictures 7 pixels wide (Sinha et al. 2006,
"Face recognition by humans", result 1); this is about half of that."""


class Size(NamedTuple):
    """What one block size hides.

    Attributes:
        block_size: width of a block, pixels.
        hidden: RMSE of the pixelated area to the photo, gray levels. left: that of its restoration.
        returned: the share of the hidden squared error that the restoration takes back; below 0 if it makes it worse.
        seen_as: width of the blocks, pixels, that would leave as much error if nobody restored it.
        enough: whether `seen_as` leaves at most `FEW` blocks along the area's shorter side.
        proportion: height of a block by its width.
    """

    block_size: float
    hidden: float
    left: float
    returned: float
    seen_as: int
    enough: bool
    proportion: float = 1

    def blocks(self, width: float | None = None) -> str:
        """8, or 16x8: the sides of its blocks, or of those of another width."""
        width = width or self.block_size
        return f"{width:g}" if self.proportion == 1 else f"{width:g}x{width * self.proportion:g}"


def audit(
    restorer: Restorer, photo: np.ndarray, area: AreaLike, block_size: int | None = None, like: Tool | None = None
) -> list[Size]:
    """Pixelate an area of a photo in blocks of several sizes, restore it, and compare with the photo.

    The restorer is one attacker of many: who knows what may be there, a face among a thousand or the letters of a font,
    can compare candidates and needs far less. `returned` is a lower bound of what can come back.

    Args:
        restorer: what restores, by 8 views.
        photo: (H, W) or (H, W, 3) uint8, not pixelated.
        area: x, y, width, height; pixels. Or with the blocks of the smallest size to look at, 2 to 200 pixels a side;
            larger ones keep their proportions.
        block_size: the same of square blocks.
        like: as `pixelate` takes it.

    Returns:
        Ascending by `block_size`.

    Raises:
        DepixelError: the area is not inside the photo, is flat or pixelated already, or has a single block.
    """
    named = Area.of(area) if block_size is None else Area.of(area).with_blocks(block_size)
    if not named.block_width or not named.block_height or named.offset_x or named.offset_y:
        raise DepixelError(f"{area!r}: name the size of its blocks, the first of which are whole")
    least, proportion = Fraction(named.block_width), Fraction(named.block_height) / Fraction(named.block_width)
    width, height, here = named.width, named.height, named.part
    most = int(min(max(Fraction(width), height / proportion) / 2, Fraction(MOST_BLOCK), MOST_BLOCK / proportion))
    if least > most:
        raise DepixelError(f"an area of {width} x {height} pixels does not have two blocks of {named.blocks}")
    larger = {round(least * factor) for factor in FACTORS if round(least * factor) < most} | {most}
    sizes = sorted({least} | {Fraction(size) for size in larger if size >= least})
    if photo[here].size and shows_multiples(photo[here], 1):
        raise DepixelError(
            f"area {named.place}: it is pixelated already, in blocks of {shown_block_size(photo[here])} "
            "pixels. Audit the photo as it was before"
        )

    def in_blocks_of(size: Fraction) -> Area:
        sized = named.with_blocks(size, size * proportion)
        return sized.in_grid(*counts(sized)) if like else sized

    errors = {}  # of every size, if nobody restores
    for size in range(ceil(max(Fraction(LEAST_BLOCK), LEAST_BLOCK / proportion)), most + 1):
        shown = pixelate(photo, [in_blocks_of(Fraction(size))], like)
        errors[size] = _rmse(shown[here], photo[here])
    if not max(errors.values(), default=0):
        raise DepixelError(f"area {named.place}: it is flat; there is nothing to hide")

    def looked_at(size: Fraction) -> Size:
        area = in_blocks_of(size)
        pixelated = pixelate(photo, [area], like)
        restored = restorer.restore(pixelated, [area], views=8)
        hidden, left = _rmse(pixelated[here], photo[here]), _rmse(restored[here], photo[here])
        seen_as = max((s for s, error in errors.items() if s <= size and error <= left), default=1)
        returned = 1 - (left / hidden) ** 2 if hidden else 0.0
        few = min(width, height / float(proportion)) / seen_as <= FEW
        whole = int(size) if size.denominator == 1 else float(size)
        return Size(whole, hidden, left, returned, seen_as, few, float(proportion))

    found = [looked_at(size) for size in sizes]
    last = max((i for i, size in enumerate(found) if not size.enough), default=-1)
    if 0 <= last < len(found) - 1:
        low, high = found[last].block_size, found[last + 1].block_size
        while high - low > 1:
            found.append(looked_at(Fraction((low + high) // 2)))
            low, high = (low, found[-1].block_size) if found[-1].enough else (found[-1].block_size, high)
    return sorted(found)


def enough(sizes: Sequence[Size]) -> float | None:
    """The smallest of the block sizes, as `Size` has them, from which on all are large enough, or None."""
    too_small = max((size.block_size for size in sizes if not size.enough), default=0)
    return min((size.block_size for size in sizes if size.block_size > too_small), default=None)


def _rmse(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.square(one.astype(np.float64) - other).mean()))
