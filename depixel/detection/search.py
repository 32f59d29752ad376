"""Pixelated areas found by themselves: where they are, how large their blocks are, where the grid begins.

In lossless pictures blocks are of one color each, and those side by side share whole sides (`exact`). Elsewhere a
hypothesis is tested: within blocks the picture is constant, at the lines between blocks it may do what it wants, and
outside it is a photo. A network says of each step between neighbouring pixels which of these it is, as a log-likelihood
ratio to "all is a photo" (`learned`); in large pictures only where a smaller one, the screen, sees any. The area, block
size and offset with the largest sum are looked for (`steps`). The lines that are seen say which blocks it has and
whether it is one area (`grids`), the steps around it which shape (`outlines`). In a JPEG it is then moved to where the
pixels are likeliest, given what pixelation and JPEG do to a photo (`likelihood`), but for large blocks, which are found
in a smaller picture. Of areas that are named in a JPEG, `named` tells the block size by their likelihood.
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
"""Pixels that are searched at once."""

LEAST_IN_JPEG = 1500.0
"""Evidence of an area of constant blocks in a picture that was a JPEG, where neighbours are equal in clusters; natural
logarithm."""


class Found(NamedTuple):
    """A pixelated area that was found.

    Attributes:
        area: where it is and which blocks it has, as `depixel.Restorer.restore` takes it.
        score: log-likelihood ratio, natural logarithm, of the area being pixelated and not a part of the photo.
        certain: the evidence is beyond what nearly all untouched photos show, and blocks are as flat and as sharp as
            the way the picture was saved leaves them. The limit of the score is higher for other shapes than
            rectangles, in pictures that were JPEGs, and in larger pictures, which have more places to look alike by
            chance.
    """

    area: ResolvedArea
    score: float
    certain: bool


def find(image: np.ndarray, watch: Callable[[float, list[Found]], bool] | None = None) -> list[Found]:
    """Find the pixelated areas of a picture.

    A picture of more than `AT_ONCE` pixels is searched in tiles that overlap, and again around what reaches over the
    border of one, so that memory hardly grows with the picture. Tiles that look most like it come first.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8.
        watch: called several times a second with the share of the search that is done, 0 to 1, and the areas that are
            found for certain so far. When it returns False the search ends, and these are returned. What it raises
            ends the search, too.

    Returns:
        The areas, certain ones first, then by score, none overlapping; of any shape. Those that are not `certain` are
        guesses. Blocks have `LEAST_BLOCK` to `MOST_BLOCK` pixels a side, in a JPEG at least `jpeg.LEAST_BLOCK`.

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
    """What is known while a search runs."""

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
    """A part of a large picture that shows its quantization; it begins with a JPEG block."""
    rows, columns = (slice(max(n // 2 - 500, 0) // BLOCK * BLOCK, n // 2 + 500) for n in image.shape[:2])
    return image[rows, columns]


def _exact(image: np.ndarray, table: np.ndarray | None, check: Watch) -> list[Exact]:
    """Areas of constant blocks that JPEG has not made: those of a JPEG were pixelated after it was one."""
    found = exact.find(image, check)
    if table is None:
        return found
    later = [one for one in found if _is_no_jpeg(image, table, one.area)]
    return [one._replace(certain=one.certain and one.evidence > LEAST_IN_JPEG) for one in later]


def _is_no_jpeg(image: np.ndarray, table: np.ndarray, area: ResolvedArea) -> bool:
    """Whether the constant blocks of an area are none that JPEG made itself."""
    left, top = area.x // BLOCK * BLOCK, area.y // BLOCK * BLOCK
    right, bottom = (-(-end // BLOCK) * BLOCK for end in (area.x + area.width, area.y + area.height))
    gray, area = luma(image[top:bottom, left:right]), area.moved(-left, -top)
    return is_later(gray, table, area) and (not is_aligned(area) or differ(gray, area, 2 * BLOCKY))
