"""Automatic detection of pixelated areas: their place, block size and grid.

In lossless pictures each block has a single color, and neighbouring blocks share whole sides (`exact`). Other pictures
are searched with a network (`learned`):

1. It classifies each step between neighbouring pixels (within a block, between blocks, or in a photo) as log-likelihood
   ratios to "all is a photo". In large pictures it only runs where a smaller network, the screen, suspects blocks.
2. `steps` searches the area, block size and offset with the largest sum.
3. `grids` determines its blocks, and whether it is a single area; `outlines` determines its shape.
4. In a JPEG, `likelihood` moves it to where the pixels are likeliest, given the effects of pixelation and JPEG on a
   photo. Large blocks are an exception: they are found in a smaller picture.

For an area that a person names in a JPEG, `named` finds the block size by likelihood.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from depixel.areas.area import ResolvedArea
from depixel.base.errors import DepixelError
from depixel.detection import exact, learned
from depixel.detection.boxes import Box, Candidate, apart, differ
from depixel.detection.exact import Exact
from depixel.detection.jpeg import BLOCK, BLOCKY, is_aligned, is_later, luma, quantization
from depixel.detection.tiles import find_in_tiles
from depixel.detection.watch import EndedError, Watch
from depixel.model.pixelation import LEAST_BLOCK

_SHARE_OF_EXACT = 0.1  # of the time of a search

AT_ONCE = 4_000_000
"""Number of pixels up to which a picture is searched as a whole, without tiles."""

_MOST_IN_JPEG = 300
"""Number of groups of constant cells that are looked at in a JPEG, which has thousands in the dark and in the sky."""
LEAST_IN_JPEG = 1500.0
"""Least evidence, a natural logarithm, for an area of constant blocks in a picture that was a JPEG. It is high because
equal neighbours form clusters there."""


class Found(NamedTuple):
    """A pixelated area that was found.

    Attributes:
        area: its place and blocks, as `depixel.Restorer.restore` takes it.
        score: log-likelihood ratio, natural logarithm, of the area being pixelated to being a part of the photo.
        certain: whether the evidence exceeds that in nearly all untouched photos, and blocks are as flat and sharp as
            the file format allows. The limit of the score is higher for shapes that are not rectangles, in pictures
            that were JPEGs, and in larger pictures, which have more chances of a false positive.
    """

    area: ResolvedArea
    score: float
    certain: bool


def find(image: np.ndarray, watch: Callable[[float, list[Found]], bool] | None = None) -> list[Found]:
    """Find the pixelated areas of a picture.

    A picture of more than `AT_ONCE` pixels is searched in overlapping tiles, the most suspicious first, and again
    around areas that a border cuts. So memory hardly grows with the picture.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8.
        watch: called several times a second with the share of the search that is done, 0..1, and the certain areas
            found so far. If it returns False, the search stops and returns these areas. An exception from it stops the
            search, too.

    Returns:
        The areas, of any shape, without overlaps: certain ones first, then by score. Those that are not `certain` are
        guesses. Blocks have `LEAST_BLOCK` to `MOST_BLOCK` pixels a side, in a JPEG at least `jpeg.LEAST_BLOCK`.

    Raises:
        DepixelError: the image has another type, shape or dtype, or a network's file is missing.
    """
    if not isinstance(image, np.ndarray):
        raise DepixelError(
            f"a picture to search must be a NumPy array, not {type(image).__name__}. Convert it: np.asarray(picture)"
        )
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise DepixelError(
            f"a picture to search must be (H, W) or (H, W, 3) of uint8, not {image.shape} of {image.dtype}. Remove an "
            "alpha channel"
        )
    if min(image.shape[:2]) < 2 * LEAST_BLOCK:
        return []
    state = _State()

    def told(share: float, learnt: list[Candidate] | None) -> None:
        state.share = max(state.share, share)
        if learnt is not None:
            state.found = [one for one in _ordered(state.exact, learnt) if one.certain]
        if watch is not None and not watch(state.share, state.found):
            raise EndedError

    try:
        return _find(image, state, Watch(told))
    except EndedError:
        return state.found


class _State:
    """The state of a running search: the share that is done, and the areas found so far."""

    def __init__(self) -> None:
        self.share = 0.0
        self.exact: list[Candidate] = []
        self.found: list[Found] = []


def _ordered(exact: list[Candidate], learnt: list[Candidate]) -> list[Found]:
    certain = [one for one in exact if one.certain]
    guesses = [one for one in exact if not one.certain]
    return [Found(one.area, one.score, one.certain) for one in apart(guesses + learnt, before=certain)]


def _find(image: np.ndarray, state: _State, check: Watch) -> list[Found]:
    pixels = image.shape[0] * image.shape[1]
    gray = luma(image if pixels <= AT_ONCE else _middle(image))
    table = quantization(gray)
    found = sorted(_exact(image, table, check.part(0, _SHARE_OF_EXACT)), key=lambda one: -one.evidence)
    state.exact = [Candidate(one.evidence, Box.around(one.area), one.certain, one.area.mask) for one in found]
    check(_SHARE_OF_EXACT, [])
    check = check.part(_SHARE_OF_EXACT, 1)
    certain = [one for one in state.exact if one.certain]
    if any(one.box.pixels > exact.ALL * pixels for one in state.exact):
        learnt = []
    elif pixels <= AT_ONCE:
        learnt = learned.find(gray, table, check, certain)
    else:
        learnt = find_in_tiles(
            image,
            lambda gray, known, check: learned.find(gray, table, check, known),
            lambda gray: learned.suspicion(gray, table),
            certain,
            check,
        )
    return _ordered(state.exact, learnt)


def _middle(image: np.ndarray) -> np.ndarray:
    """The middle of a large picture, beginning with a JPEG block; it is enough to detect the quantization."""
    rows, columns = (slice(max(n // 2 - 500, 0) // BLOCK * BLOCK, n // 2 + 500) for n in image.shape[:2])
    return image[rows, columns]


def _exact(image: np.ndarray, table: np.ndarray | None, check: Watch) -> list[Exact]:
    """Areas of constant blocks that JPEG did not make; in a JPEG, those that were pixelated after it was saved."""
    found = exact.find(image, check, None if table is None else _MOST_IN_JPEG)
    if table is None:
        return found
    later = [one for one in found if _is_no_jpeg(image, table, one.area)]
    return [one._replace(certain=one.certain and one.evidence > LEAST_IN_JPEG) for one in later]


def _is_no_jpeg(image: np.ndarray, table: np.ndarray, area: ResolvedArea) -> bool:
    """Whether the constant blocks of an area are not those that JPEG makes itself."""
    left, top = area.x // BLOCK * BLOCK, area.y // BLOCK * BLOCK
    right, bottom = (-(-end // BLOCK) * BLOCK for end in (area.x + area.width, area.y + area.height))
    gray, area = luma(image[top:bottom, left:right]), area.moved(-left, -top)
    return is_later(gray, table, area) and (not is_aligned(area) or differ(gray, area, 2 * BLOCKY))
