"""Pixelated areas found by themselves: where they are, how large their blocks are, where the grid begins.

Two of the ways to find them are tests of one hypothesis: within blocks the picture is constant, at the lines between
blocks it may do what it wants, and outside it is a photo. What each step between neighbouring pixels says of it, as a
log-likelihood ratio to "all is a photo", is added up over an area, and the area, block size and offset with the largest
sum are looked for (`steps`). In lossless pictures the ratio follows from the size of the step (`exact`); where JPEG has
blurred the blocks, or they are few, a network tells it from the surroundings of the step,
in large pictures only where a smaller one, the screen, sees any (`learned`). What it finds in
a JPEG is moved to where the pixels are likeliest, given what pixelation and JPEG do to a photo (`likelihood`), but for
large blocks, which it finds in a smaller picture. Large blocks of lossless pictures are found as rectangles of one
value, side by side (`large`). Of areas that are named in a JPEG, `named` tells the block size by their likelihood.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from depixel.areas.area import ResolvedArea
from depixel.base.errors import DepixelError
from depixel.detection import exact, learned
from depixel.detection.boxes import Candidate, apart
from depixel.detection.jpeg import is_later, luma, quantization
from depixel.detection.tiles import find_in_tiles
from depixel.model.pixelation import LEAST_BLOCK

AT_ONCE = 4_000_000
"""Pixels that are searched at once."""


class Found(NamedTuple):
    """A pixelated area that was found.

    Attributes:
        area: where it is and which blocks it has, as `depixel.Restorer.restore` takes it.
        score: log-likelihood ratio, natural logarithm, of the area being pixelated and not a part of the photo; of
            `large` ones, 1 a pixel.
        certain: the evidence is beyond what nearly all untouched photos show. There are limits of the score: where
            blocks are exactly constant, higher ones for grids that do not begin at the area's corner; else for larger
            pictures, which have more places to look alike by chance. The network must be sure of each pixel, too, and
            surer where no line between blocks is seen. And without JPEG's noise, a third of neighbouring blocks must
            differ, of large ones any.
    """

    area: ResolvedArea
    score: float
    certain: bool


def find(image: np.ndarray, check: Callable[[], None] = lambda: None) -> list[Found]:
    """Find the pixelated areas of a picture.

    A picture of more than `AT_ONCE` pixels is searched in tiles that overlap, and again around what reaches over the
    border of one, so that memory hardly grows with the picture.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8.
        check: called again and again; what it raises ends the search.

    Returns:
        The areas, certain ones first, then by score, none overlapping. Those that are not `certain` are guesses.
        Blocks of `LEAST_BLOCK` to `MOST_BLOCK` pixels, in a JPEG from `jpeg.LEAST_BLOCK`.

    Raises:
        DepixelError: another shape or dtype; or a network is missing.
    """
    if not isinstance(image, np.ndarray):
        raise DepixelError(f"a picture to search is an array of NumPy, not {type(image).__name__}: np.asarray(picture)")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise DepixelError(
            f"a picture to search is (H, W) or (H, W, 3) of uint8, not {image.shape} of {image.dtype}; leave out alpha"
        )
    if min(image.shape[:2]) < 2 * LEAST_BLOCK:
        return []
    if image.shape[0] * image.shape[1] <= AT_ONCE:
        gray = luma(image)
        found = _find(gray, quantization(gray), check)
    else:
        found = find_in_tiles(image, lambda gray, table: _find(gray, table, check))
    return [Found(box.area, score, certain) for score, box, certain in apart(found)]


def _find(gray: np.ndarray, table: np.ndarray | None, check: Callable[[], None]) -> list[Candidate]:
    """The areas of a picture (H, W) float32 that has gone through this quantization last; some may overlap."""
    found = exact.find(gray, table is not None, check)
    if table is not None:
        found = [one for one in found if is_later(gray, table, one.box)]  # pixelated after it was a JPEG
    certain = [one for one in apart(found) if one.certain]  # to the pixel
    return apart(found + learned.find(gray, table, check), before=certain)
