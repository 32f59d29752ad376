"""The pixels of an area as other tools pixelate it: they reduce it to a pixel for each block, and enlarge it again.

Blocks then share the area evenly, so that they need not be whole pixels wide. `pixels.pixelate` has the other way:
whole blocks from the upper left corner on.
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
    """The number of blocks across and down that comes nearest to the size of those an area has.

    Raises:
        DepixelError: it has no block size, or its first blocks are cut off, which these tools never do.
    """
    if area.block_width is None or area.block_height is None:
        raise DepixelError(f"area {area.place}: name the size of its blocks")
    if area.offset_x or area.offset_y:
        raise DepixelError(
            f"area {area.place}: this tool begins with a whole block; leave out the last two of its seven numbers"
        )
    columns, rows = (
        max(1, min(round(length / block), length // LEAST_BLOCK))
        for length, block in ((area.width, area.block_width), (area.height, area.block_height))
    )
    return columns, rows


def as_made_by(tool: Tool, part: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """An area pixelated by a tool.

    Args:
        tool: which one. part: (h, w, C) uint8 or uint16. columns, rows: number of blocks across and down.

    Returns:
        (h, w, C) of the same dtype.
    """
    return _MADE[tool](part, columns, rows).astype(part.dtype)


def _pillow(part: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """`image.resize((columns, rows)).resize(image.size, NEAREST)`: bicubic, the default, as wide as the blocks; then
    pixel i shows block floor((i + 1/2) n / W)."""
    size = part.shape[1], part.shape[0]
    made = []
    for plane in np.moveaxis(part, 2, 0):
        small = _resized(np.ascontiguousarray(plane), (columns, rows), Image.Resampling.BICUBIC)
        made.append(_resized(small, size, Image.Resampling.NEAREST))
    return np.stack(made, axis=2)


def _resized(plane: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    """By Pillow: bytes as such, 16 bits as floats, which it has better support for."""
    if plane.dtype == np.uint8:
        return np.asarray(Image.fromarray(plane).resize(size, how))
    made = np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, how))
    return made.clip(0, np.iinfo(plane.dtype).max).round().astype(plane.dtype)


def _opencv(part: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """`cv2.resize` with INTER_LINEAR, which is the default, then with INTER_NEAREST (modules/imgproc/src/resize.cpp).

    INTER_LINEAR takes the two pixels beside (i + 1/2) W / n - 1/2, along each axis, whatever the size of blocks:
    OpenCV itself weighs them in steps of 1/2048. INTER_NEAREST shows block floor(i n / W).
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
    """`QPixmap.scaled`, smooth and then fast (src/tools/pixelate/pixelatetool.cpp, Qt's qimagescale.cpp): the mean
    of what a block covers, pixels at its sides by their share, truncated; pixel i shows floor((i + 1/2) n / W)."""
    small = np.floor(_covered(_covered(part, rows, 0), columns, 1) + 1e-6)  # what floats lack of a whole number
    for axis, count in ((0, rows), (1, columns)):
        length = part.shape[axis]
        small = small.take((2 * np.arange(length) + 1) * count // (2 * length), axis)
    return small


def _imagemagick(part: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """`-scale` twice (ScaleImage in MagickCore/resize.c): what each new pixel covers of the old ones, by their share; a
    pixel on the line between two blocks is a mix of both. It keeps 16 bits between, so only the last is rounded."""
    height, width = part.shape[:2]
    small = _covered(_covered(part, rows, 0), columns, 1)
    return np.floor(_covered(_covered(small, height, 0), width, 1) + 0.5 + 1e-6)


def _covered(values: np.ndarray, count: int, axis: int) -> np.ndarray:
    """The mean of what each of `count` equal parts of an axis covers."""
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
