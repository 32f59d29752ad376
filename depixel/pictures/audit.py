"""How much a pixelation hides: what comes back of a photo at this block size, and at larger ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from depixel.areas.area import Area, AreaLike
from depixel.areas.grid import MOST_BLOCK, shown_block_size, shows_multiples
from depixel.base.errors import DepixelError
from depixel.model.pixelation import LEAST_BLOCK
from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer

FACTORS = tuple(factor * 2**power for power in range(7) for factor in (1, 1.5))
"""Which block sizes are looked at, as multiples of the one that was asked about: 1, 1.5, 2, 3, 4, 6, ...; and then
those between the last one that is not enough and the next, as far as bisection needs them."""

FEW = 4
"""Blocks along the shorter side. Familiar faces have been recognized in pictures 7 pixels wide (Sinha et al. 2006,
"Face recognition by humans", result 1); this is about half of that."""


class Size(NamedTuple):
    """What one block size hides.

    Attributes:
        block_size: pixels.
        hidden: RMSE of the pixelated area to the photo, gray levels. left: that of its restoration.
        returned: the share of the hidden squared error that the restoration takes back; below 0 if it makes it worse.
        seen_as: the block size, pixels, that would leave as much error if nobody restored it.
        enough: whether `seen_as` leaves at most `FEW` blocks along the area's shorter side.
    """

    block_size: int
    hidden: float
    left: float
    returned: float
    seen_as: int
    enough: bool


def audit(restorer: Restorer, photo: np.ndarray, area: AreaLike, block_size: int) -> list[Size]:
    """Pixelate an area of a photo in blocks of several sizes, restore it, and compare with the photo.

    The restorer is one attacker of many: who knows what may be there, a face among a thousand or the letters of a font,
    can compare candidates and needs far less. `returned` is a lower bound of what can come back.

    Args:
        restorer: what restores, by 8 views.
        photo: (H, W) or (H, W, 3) uint8, not pixelated.
        area: x, y, width, height; pixels. Or an `Area` without blocks.
        block_size: the smallest size to look at, 2 to 200 pixels.

    Returns:
        Ascending by `block_size`.

    Raises:
        DepixelError: the area is not inside the photo, is flat or pixelated already, or has a single block.
    """
    named = Area.of(area)
    if named.block_size is not None:
        raise DepixelError(f"{area!r} is no area: x, y, width and height; the block size is named apart")
    width, height, here = named.width, named.height, named.part
    most = min(max(width, height) // 2, MOST_BLOCK)
    sizes = sorted({round(block_size * factor) for factor in FACTORS if round(block_size * factor) < most} | {most})
    if block_size > most:
        raise DepixelError(f"an area of {width} x {height} pixels does not have two blocks of {block_size}")
    if photo[here].size and shows_multiples(photo[here], 1):
        raise DepixelError(
            f"area {named.place}: it is pixelated already, in blocks of {shown_block_size(photo[here])} "
            "pixels. Audit the photo as it was before"
        )
    errors = {}  # of every size, if nobody restores
    for size in range(LEAST_BLOCK, most + 1):
        shown = pixelate(photo, [named.in_blocks_of(size)])
        errors[size] = _rmse(shown[here], photo[here])
    if not max(errors.values()):
        raise DepixelError(f"area {named.place}: it is flat; there is nothing to hide")

    def looked_at(size: int) -> Size:
        area = named.with_blocks(size)
        restored = restorer.restore(pixelate(photo, [area]), [area], views=8)
        hidden, left = errors[size], _rmse(restored[here], photo[here])
        seen_as = max((s for s, error in errors.items() if s <= size and error <= left), default=1)
        returned = 1 - (left / hidden) ** 2 if hidden else 0.0
        return Size(size, hidden, left, returned, seen_as, min(width, height) / seen_as <= FEW)

    found = [looked_at(size) for size in sizes]
    last = max((i for i, size in enumerate(found) if not size.enough), default=-1)
    if 0 <= last < len(found) - 1:
        low, high = found[last].block_size, found[last + 1].block_size
        while high - low > 1:
            found.append(looked_at((low + high) // 2))
            low, high = (low, found[-1].block_size) if found[-1].enough else (found[-1].block_size, high)
    return sorted(found)


def enough(sizes: Sequence[Size]) -> int | None:
    """The smallest of the block sizes from which on all are large enough, or None."""
    too_small = max((size.block_size for size in sizes if not size.enough), default=0)
    return min((size.block_size for size in sizes if size.block_size > too_small), default=None)


def _rmse(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.square(one.astype(np.float64) - other).mean()))
