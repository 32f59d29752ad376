"""Of which blocks an area is that is known, in a picture that was saved as JPEG: nothing in it is exactly constant."""

import numpy as np

from depixel.areas.area import Area
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
    x, y, size, offset = area.x, area.y, area.block_size, area.offset
    wide, high = min(area.width, _MOST), min(area.height, _MOST)
    left, top = (max(start - _AROUND, 0) // BLOCK * BLOCK for start in (x, y))
    right, bottom = x + wide + _AROUND * (wide == area.width), y + high + _AROUND * (high == area.height)
    gray = luma(image[top:bottom, left:right])
    table = quantization(gray)
    if table is None:
        return None
    likelihood = Likelihood(gray, table)
    box = Box(x - left, y - top, x - left + wide, y - top + high, size or BLOCK, *offset)
    best = likelihood.with_size(box)
    evidence = likelihood.evidence(best)
    if size and likelihood.evidence(box) > max(evidence - _MUCH, 0):
        return size
    return best.size if evidence > 0 and not any(offset) else None  # the best one's blocks begin at the corner
