"""Pixelation as other tools do it: they shrink an area to one pixel per block, and enlarge it again.

The blocks then divide the area evenly, so they need not be whole pixels wide. `pixels.pixelate` by itself makes whole
blocks from the upper left corner on.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image

from depixel.areas.area import Area
from depixel.base.errors import DepixelError
from depixel.model.pixelation import LEAST_BLOCK

Tool = Literal["flameshot", "imagemagick", "opencv", "pillow"]


def counts(area: Area) -> tuple[int, int]:
    """The number of blocks across and down for which blocks come nearest to the area's block size.

    Raises:
        DepixelError: the area has no block size, or an offset, which these tools cannot make.
    """
    if area.block_width is None or area.block_height is None:
        raise DepixelError(f"area {area.place}: give the block size")
    if area.offset_x or area.offset_y:
        raise DepixelError(
            f"area {area.place}: this tool begins with a whole block. Leave out the last two of the seven numbers"
        )
    columns, rows = (
        max(1, min(round(length / block), length // LEAST_BLOCK))
        for length, block in ((area.width, area.block_width), (area.height, area.block_height))
    )
    return columns, rows


def as_made_by(tool: Tool, part: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """Pixelate an area as a tool does.

    Args:
        tool: the tool.
        part: (h, w, C) uint8 or uint16.
        columns, rows: number of blocks across and down.

    Returns:
        (h, w, C) of the same dtype.
    """
    return _MADE[tool](part, columns, rows).astype(part.dtype)


def _pillow(part: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """`image.resize((columns, rows)).resize(image.size, NEAREST)`.

    The first is bicubic, the default, scaled to the blocks; then pixel i shows block floor((i + 1/2) n / W).
    """
    size = part.shape[1], part.shape[0]
    made = []
    for plane in np.moveaxis(part, 2, 0):
        small = _resized(np.ascontiguousarray(plane), (columns, rows), Image.Resampling.BICUBIC)
        made.append(_resized(small, size, Image.Resampling.NEAREST))
    return np.stack(made, axis=2)


def _resized(plane: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    """Resize by Pillow; 16 bits as floats, because it supports these better."""
    if plane.dtype == np.uint8:
        return np.asarray(Image.fromarray(plane).resize(size, how))
    made = np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, how))
    return made.clip(0, np.iinfo(plane.dtype).max).round().astype(plane.dtype)


def _opencv(part: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """`cv2.resize` with INTER_LINEAR, which is the default, then with INTER_NEAREST (modules/imgproc/src/resize.cpp).

    INTER_LINEAR interpolates between the two pixels beside (i + 1/2) W / n - 1/2, along each axis, whatever the block
    size. (OpenCV itself rounds the weights to 1/2048.) INTER_NEAREST shows block floor(i n / W).
    """
    for axis, count in ((0, rows), (1, columns)):
        length = part.shape[axis]
        at = ((np.arange(count) + 0.5) * length / count - 0.5).clip(0, length - 1)
        first = np.floor(at).astype(int)
        weight = (at - first).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        second = np.minimum(first + 1, length - 1)
        shown = np.arange(length) * count // length
        mixed = part.take(first, axis) * (1 - weight) + part.take(second, axis) * weight
        part = mixed.take(shown, axis)
    return np.floor(part + 0.5)


def _flameshot(part: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """`QPixmap.scaled`, smooth and then fast (src/tools/pixelate/pixelatetool.cpp, Qt's qimagescale.cpp).

    A block shows the truncated mean of its pixels, those at its sides weighted by their share; pixel i shows block
    floor((i + 1/2) n / W).
    """
    small = np.floor(_covered(_covered(part, rows, 0), columns, 1) + 1e-6)  # against floating-point error
    for axis, count in ((0, rows), (1, columns)):
        length = part.shape[axis]
        small = small.take((2 * np.arange(length) + 1) * count // (2 * length), axis)
    return small


def _imagemagick(part: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """`-scale` twice (ScaleImage in MagickCore/resize.c).

    Each new pixel is the mean of the old ones that it covers, weighted by their share. So a pixel on the line between
    two blocks is a mix of both. Between the two steps it keeps 16 bits, so only the last result is rounded.
    """
    height, width = part.shape[:2]
    small = _covered(_covered(part, rows, 0), columns, 1)
    return np.floor(_covered(_covered(small, height, 0), width, 1) + 0.5 + 1e-6)


def _covered(values: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Divide an axis into `count` equal parts, and return the mean of each."""
    values = np.moveaxis(values, axis, 0)
    length = len(values)
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0, dtype=np.float64)])
    edges = np.arange(count + 1) * length
    whole, part = edges // count, (edges % count / count).reshape(-1, *[1] * (values.ndim - 1))
    reached = sums[whole] + part * values[np.minimum(whole, length - 1)]
    return np.moveaxis(np.diff(reached, axis=0) * count / length, 0, axis)


_MADE: dict[Tool, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "flameshot": _flameshot,
    "imagemagick": _imagemagick,
    "opencv": _opencv,
    "pillow": _pillow,
}
