"""Audit of a pixelation: how much of a photo a restoration recovers, at this block size and at larger ones."""

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
"""The block sizes that are tried, as multiples of the given one: 1, 1.5, 2, 3, 4, 6, ... A bisection then tries sizes
between the last one that is too small and the next."""

FEW = 4
"""Number of blocks along the shorter side up to which a block size is enough. People recognize familiar faces in
pictures 7 pixels wide (Sinha et al. 2006, "Face recognition by humans", result 1); this is about half of that."""


class Size(NamedTuple):
    """The result for one block size.

    Attributes:
        block_size: width of a block, pixels.
        hidden: RMSE of the pixelated area to the photo, gray levels.
        left: RMSE of its restoration to the photo, gray levels.
        returned: share of the hidden squared error that the restoration removes; below 0 if it adds error.
        seen_as: width in pixels of the largest blocks that, without restoration, leave at most this error.
        enough: whether the area has at most `FEW` blocks of the width `seen_as` along its shorter side.
        proportion: height of a block divided by its width.
    """

    block_size: float
    hidden: float
    left: float
    returned: float
    seen_as: int
    enough: bool
    proportion: float = 1

    def blocks(self, width: float | None = None) -> str:
        """The sides of its blocks as text, 8 or 16x8; or of blocks of another width in the same proportion."""
        width = width or self.block_size
        return f"{width:g}" if self.proportion == 1 else f"{width:g}x{width * self.proportion:g}"


def audit(
    restorer: Restorer, photo: np.ndarray, area: AreaLike, block_size: int | None = None, like: Tool | None = None
) -> list[Size]:
    """Pixelate an area of a photo in blocks of several sizes, restore it, and compare with the photo.

    The restorer is only one possible attacker. Anyone who knows the candidates, such as a thousand faces or the letters
    of a font, can compare them and needs far less information. So `returned` is a lower bound of what can be recovered.

    Args:
        restorer: the restorer; it uses 8 views.
        photo: (H, W) or (H, W, 3) uint8, not pixelated.
        area: x, y, width, height in pixels; with the smallest block size, 2 to 200 pixels a side, unless `block_size`
            gives it. Larger blocks keep the proportions.
        block_size: smallest side of square blocks, pixels.
        like: as for `pixelate`.

    Returns:
        The results, ascending by `block_size`.

    Raises:
        DepixelError: the area has no block size, is not inside the photo, is flat or already pixelated, or has fewer
            than two blocks.
    """
    named = Area.of(area) if block_size is None else Area.of(area).with_blocks(block_size)
    if not named.block_width or not named.block_height or named.offset_x or named.offset_y:
        raise DepixelError(f"{area!r}: give the block size, 8 or 16x8, and no offset")
    least, proportion = Fraction(named.block_width), Fraction(named.block_height) / Fraction(named.block_width)
    width, height, here = named.width, named.height, named.part
    most = int(min(max(Fraction(width), height / proportion) / 2, Fraction(MOST_BLOCK), MOST_BLOCK / proportion))
    if least > most:
        raise DepixelError(
            f"an area of {width} x {height} pixels does not have two blocks of {named.blocks}. Choose smaller "
            "blocks, or a larger area"
        )
    larger = {round(least * factor) for factor in FACTORS if round(least * factor) < most} | {most}
    sizes = sorted({least} | {Fraction(size) for size in larger if size >= least})
    if photo[here].size and shows_multiples(photo[here], 1):
        raise DepixelError(
            f"area {named.place}: already pixelated in blocks of {shown_block_size(photo[here])} pixels. Audit the "
            "original photo"
        )

    def in_blocks_of(size: Fraction) -> Area:
        sized = named.with_blocks(size, size * proportion)
        return sized.in_grid(*counts(sized)) if like else sized

    errors = {}  # of every size, without restoration
    for size in range(ceil(max(Fraction(LEAST_BLOCK), LEAST_BLOCK / proportion)), most + 1):
        shown = pixelate(photo, [in_blocks_of(Fraction(size))], like)
        errors[size] = _rmse(shown[here], photo[here])
    if not max(errors.values(), default=0):
        raise DepixelError(f"area {named.place}: it is flat, so pixelation hides nothing. Choose another area")

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
    """The smallest block size from which on all sizes are enough; None: no size is."""
    too_small = max((size.block_size for size in sizes if not size.enough), default=0)
    return min((size.block_size for size in sizes if size.block_size > too_small), default=None)


def _rmse(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.square(one.astype(np.float64) - other).mean()))
