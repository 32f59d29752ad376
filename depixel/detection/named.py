"""Of which blocks an area is that is known, in a picture that was saved as JPEG: nothing in it is exactly constant."""

import numpy as np

from depixel.areas.area import Area, ResolvedArea
from depixel.detection.boxes import Box
from depixel.detection.jpeg import BLOCK, luma, quantization
from depixel.detection.likelihood import Likelihood

_MOST = 512  # pixels a side that are looked at
_AROUND = 64  # pixels around it that are, too; a multiple of JPEG's blocks
_MUCH = 50.0  # natural logarithm: by how much another size is likelier where one that is likely itself is wrong


def block_size_in_jpeg(image: np.ndarray, area: Area) -> int | None:
    """The block size of an area, by `likelihood`.

    Args:
        image: (H, W) or (H, W, 3) uint8, as `depixel.find` takes it.
        area: with its block size, or without; of a large one a part is looked at.

    Returns:
        Pixels: the area's own size if with it the pixels are likelier than those of a photo, unless they are much
        likelier with another, which is then returned; None if they are not likelier with any, if first blocks that lack
        pixels are not as the area says, or if it cannot be told how the picture was saved.
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
    return best.size if evidence > 0 and not any(offset) else None  # the best one's blocks begin at the corner


def likelier(image: np.ndarray, area: Area, shown: ResolvedArea) -> ResolvedArea:
    """An area as it is named or as it was found, if that is much likelier; both in the blocks that were found.

    Args:
        image: (H, W) or (H, W, 3) uint8. area: as it is named. shown: as it was found, in square blocks.
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


def _corners(area: ResolvedArea) -> tuple[int, int, int, int]:
    return area.x, area.y, area.x + area.width, area.y + area.height


def _likelihood_around(image: np.ndarray, area: Area) -> tuple[int, int, Likelihood | None]:
    """Where a part of a picture begins, x and y, and the likelihood of areas in it; None: no JPEG, or it cannot be told
    how it was saved."""
    wide, high = min(area.width, _MOST), min(area.height, _MOST)
    left, top = (max(start - _AROUND, 0) // BLOCK * BLOCK for start in (area.x, area.y))
    right = area.x + wide + _AROUND * (wide == area.width)
    bottom = area.y + high + _AROUND * (high == area.height)
    gray = luma(image[top:bottom, left:right])
    table = quantization(gray)
    return left, top, None if table is None else Likelihood(gray, table)
