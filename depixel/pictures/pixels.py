"""Pixels of NumPy and Pillow pictures: gray or color, with or without alpha, 8 or 16 bits."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

from depixel.areas.area import AreaLike, checked_areas
from depixel.areas.grid import Grid, block_means, spread
from depixel.base.errors import DepixelError
from depixel.pictures.tools import Tool, as_made_by, counts

Picture = TypeVar("Picture", np.ndarray, Image.Image)
LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of the luminance, Rec. 709, applied to R'G'B' as stored, so that the mean luminance of a block is the
luminance of its mean color."""
_CHANNELS = ((), (2,), (3,), (4,))


def pixels_of(image: Picture) -> np.ndarray:
    """The pixels of a picture as an array. Raises `DepixelError` for an unsupported mode, shape or dtype."""
    if isinstance(image, Image.Image):
        if image.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
            raise DepixelError(f"a picture has the mode {image.mode}. Convert it to L, LA, RGB or RGBA")
        return np.asarray(image)
    if not isinstance(image, np.ndarray):
        raise DepixelError(f"a picture must be a NumPy array or a Pillow image, not {type(image).__name__}")
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3) or image.shape[2:] not in _CHANNELS:
        raise DepixelError(
            f"a picture must be (H, W) or (H, W, 2, 3 or 4) of uint8 or uint16, not {image.shape} of {image.dtype}"
        )
    return image


def of_kind(image: Picture, pixels: np.ndarray) -> Picture:
    """Convert pixels to a picture of the same kind as `image`, NumPy or Pillow."""
    if not isinstance(image, Image.Image):
        return pixels
    made = Image.fromarray(pixels)
    made.info = image.info.copy()
    return made


def without_alpha(image: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3): a view without the alpha channel."""
    return image[:, :, None] if image.ndim == 2 else image[:, :, : 1 if image.shape[2] == 2 else 3]


def scale_of(image: np.ndarray) -> float:
    """The number of stored levels per gray level of 0..255: 1 for uint8, 257 for uint16."""
    return 1.0 if image.dtype == np.uint8 else 257.0


def pixelate(image: Picture, areas: Sequence[AreaLike], like: Tool | None = None) -> Picture:
    """Pixelate areas in a copy of a picture: each block becomes its rounded mean; alpha stays.

    Args:
        image, areas: as for `Restorer.restore`; each area with its block size, 2 to 200 pixels a side.
        like: the tool whose arithmetic makes the blocks instead, a whole number of them (`tools.counts`).

    Returns:
        A new picture of the same kind, shape and dtype.

    Raises:
        DepixelError: an area is not inside the picture, overlaps another, or has no block size.
    """
    pixelated = pixels_of(image).copy()
    colors = without_alpha(pixelated)
    for area in checked_areas(areas, colors.shape[1], colors.shape[0]):
        if area.block_width is None or area.block_height is None:
            raise DepixelError(f"area {area.place}: give the block size as the fifth number")
        part = colors[area.part]
        if like:
            made = as_made_by(like, part, *counts(area))
        else:
            grid = Grid(area.block_width, area.block_height, area.offset_x, area.offset_y)
            made = spread(block_means(part, grid).round(), grid, part.shape[:2])
        hidden = ... if area.mask is None else area.mask
        part[hidden] = made[hidden]
    return of_kind(image, pixelated)
