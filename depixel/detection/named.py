"""Block size of an area that a person names in a JPEG, where no block is exactly constant."""

import numpy as np

from depixel.areas.area import Area, ResolvedArea
from depixel.detection.boxes import Box
from depixel.detection.jpeg import BLOCK, luma, quantization
from depixel.detection.likelihood import Likelihood

_MOST = 512  # pixels: at most this much of the area's sides is used
_AROUND = 64  # pixels around the area that are used, too; a multiple of JPEG's blocks
_MUCH = 50.0  # natural logarithm; another size replaces a plausible named one if it is likelier by this


def block_size_in_jpeg(image: np.ndarray, area: Area) -> int | None:
    """Find the block size of an area, by `likelihood`.

    Args:
        image: (H, W) or (H, W, 3) uint8, as for `depixel.find`.
        area: the area, with or without its block size; only a part of a large one is used.

    Returns:
        Pixels. The area's own size, if with it the pixels are likelier than a photo's. Another size, if the pixels are
        much likelier with that. None, if no size makes them likelier than a photo's, if the area's offset does not
        fit, or if the JPEG's quantization cannot be detected.
    """
    size, offset = area.block_size, (int(area.offset_x), int(area.offset_y))
    left, top, likelihood = _likelihood_around(image, area)
    if likelihood is None:
        return None
    wide, high = min(area.width, _MOST), min(area.height, _MOST)
    x, y = area.x - left, area.y - top
    box = Box(x, y, x + wide, y + high, size or BLOCK, *offset)
    best = likelihood.with_size(box)
    evidence = likelihood.evidence(best)
    if size and likelihood.evidence(box) > max(evidence - _MUCH, 0):
        return size
    return best.size if evidence > 0 and not any(offset) else None  # blocks of the best one begin at the corner


def likelier(image: np.ndarray, area: Area, shown: ResolvedArea) -> ResolvedArea:
    """Choose between an area as a person named it and as it was found. The found one must be much likelier.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        area: the area as named.
        shown: the area as found, in square blocks.

    Returns:
        One of the two, in the blocks that were found.
    """
    size = shown.columns()[4]
    as_named = area.in_blocks_of(size, (int(area.offset_x) % size, int(area.offset_y) % size))
    if as_named == shown:
        return shown
    left, top, likelihood = _likelihood_around(image, area)
    if likelihood is None:
        return shown
    boxes = [Box(*_corners(one.moved(-left, -top)), *one.columns()[4:]) for one in (as_named, shown)]
    return shown if likelihood.advantage(boxes[1], boxes[0]) > _MUCH else as_named


def is_likelier(image: np.ndarray, area: ResolvedArea, other: ResolvedArea) -> bool:
    """Whether the pixels around one area are likelier than with the other one. False in a picture that was no JPEG.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        area, other: two areas that overlap.
    """
    left, top, likelihood = _likelihood_around(image, area)
    if likelihood is None:
        return False
    boxes = [Box.around(one.moved(-left, -top)) for one in (area, other)]
    return likelihood.advantage(*boxes) > 0


def _corners(area: ResolvedArea) -> tuple[int, int, int, int]:
    return area.x, area.y, area.x + area.width, area.y + area.height


def _likelihood_around(image: np.ndarray, area: Area) -> tuple[int, int, Likelihood | None]:
    """The part of a picture around an area: its left and top, pixels, and the likelihood of areas in it.

    The likelihood is None if no JPEG quantization is detected.
    """
    wide, high = min(area.width, _MOST), min(area.height, _MOST)
    left, top = (max(start - _AROUND, 0) // BLOCK * BLOCK for start in (area.x, area.y))
    right = area.x + wide + _AROUND * (wide == area.width)
    bottom = area.y + high + _AROUND * (high == area.height)
    gray = luma(image[top:bottom, left:right])
    table = quantization(gray)
    return left, top, None if table is None else Likelihood(gray, table)
