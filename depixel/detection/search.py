"""Pixelated areas found by themselves: where they are, how large their blocks are, where the grid begins.

In lossless pictures blocks are of one color each, and those side by side share whole sides (`cells`); their lines say
how large they are, which need not be whole pixels (`periods`). Elsewhere a hypothesis is tested: within blocks the
picture is constant, at the lines between blocks it may do what it wants, and outside it is a photo. A network says of
each step between neighbouring pixels which of these it is, as a log-likelihood ratio to "all is a photo" (`learned`);
in large pictures only where a smaller one, the screen, sees any. The area, block size and offset with the largest sum
are looked for (`steps`). In a JPEG the area is then moved to where the pixels are likeliest, given what pixelation and
JPEG do to a photo (`likelihood`), but for large blocks, which are found in a smaller picture. Of areas that are named
in a JPEG, `named` tells the block size by their likelihood.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from depixel.areas.area import ResolvedArea
from depixel.base.errors import DepixelError
from depixel.detection import cells, learned
from depixel.detection.boxes import Box, Candidate, apart, differ
from depixel.detection.cells import Exact
from depixel.detection.jpeg import BLOCK, BLOCKY, is_aligned, is_later, luma, quantization
from depixel.detection.tiles import find_in_tiles
from depixel.model.pixelation import LEAST_BLOCK

AT_ONCE = 4_000_000
"""Pixels that are searched at once."""

LEAST_IN_JPEG = 1500.0
"""Evidence of an area of constant blocks in a picture that was a JPEG, where neighbours are equal in clusters; natural
logarithm."""


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
    exact = sorted(_exact(image, check), key=lambda one: -one.evidence)
    certain = [Candidate(one.evidence, Box.around(one.area), True) for one in exact if one.certain]
    if image.shape[0] * image.shape[1] <= AT_ONCE:
        gray = luma(image)
        learnt = learned.find(gray, quantization(gray), check)
    else:
        learnt = find_in_tiles(image, lambda gray, table: learned.find(gray, table, check))
    guesses = [Candidate(one.evidence, Box.around(one.area), False) for one in exact if not one.certain]
    rest = apart(guesses + learnt, before=certain)[len(certain) :]
    return [Found(one.area, one.evidence, True) for one in exact if one.certain] + [
        Found(box.area, score, sure) for score, box, sure in rest
    ]


def _exact(image: np.ndarray, check: Callable[[], None]) -> list[Exact]:
    """Areas of constant blocks that JPEG has not made: those of a JPEG were pixelated after it was one."""
    found = cells.find(image, check)
    if not found:
        return []
    gray = luma(image)
    table = quantization(gray[_middle(gray.shape[0]), _middle(gray.shape[1])])
    if table is None:
        return found
    later = [one for one in found if is_later(gray, table, one.area)]
    later = [one for one in later if not is_aligned(one.area) or differ(gray, one.area, 2 * BLOCKY)]
    return [one._replace(certain=one.certain and one.evidence > LEAST_IN_JPEG) for one in later]


def _middle(length: int) -> slice:
    """A part from which the quantization is seen; it begins with a JPEG block."""
    return slice(max(length // 2 - 500, 0) // BLOCK * BLOCK, length // 2 + 500)
