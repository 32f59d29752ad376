"""Areas and blocks: pixelates a photo, infers the block size of a pixelated one, and draws random areas.

`prepare_image` defines the pixelation of one image; `depixel.model.blocks` does the same for batches. Random areas
depend on the names of photos, not on their order.
"""

import hashlib

import numpy as np
from pydantic import Field, field_validator

from depixel.base.errors import DepixelError
from depixel.base.settings import Range, Settings

LEAST_BLOCK = 2
"""The smallest side of a block, pixels."""

LEAST_AREA = 2
"""The smallest side of an area, pixels."""


class PixelationSettings(Settings):
    """The section `pixelation` of params.yaml: ranges from which areas and blocks are drawn uniformly.

    Attributes:
        width, height: sides of the areas, pixels, both ends included.
        block_size: side of the blocks, pixels, both ends included.
    """

    width: Range = (4, 32)
    height: Range = (4, 32)
    block_size: Range = Field(default=(4, 16))

    @field_validator("*")
    @classmethod
    def _not_too_small(cls, value: Range) -> Range:
        if value[0] < LEAST_AREA:
            raise ValueError(f"areas and blocks have at least {LEAST_AREA} pixels a side")
        return value

    def mean_pixels(self, image_size: int) -> float:
        """The mean number of pixels of an area that `draw_areas` draws, for images of this side in pixels."""
        width, height = ((least + min(most, image_size)) / 2 for least, most in (self.width, self.height))
        return width * height


def prepare_image(
    image: np.ndarray, x: int, y: int, width: int, height: int, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixelate one area of one image, as the challenge defines it.

    Args:
        image: (1, H, W), any numeric dtype; not changed.
        x, y, width, height: the area, pixels; inside the image; width and height at least 2.
        size: side of a block, pixels, at least 2. Blocks start at (x, y); the area's edge cuts off the last column and
            row of blocks.

    Returns:
        pixelated (1, H, W): each block of the area overwritten with its mean, truncated for an integer dtype.
        known (1, H, W) bool: True outside the area.
        target 1-D: the original values of the area's pixels in row-major order.

    Raises:
        ValueError: the image is not (1, H, W); width, height or size is below 2; or the area is not inside the image.
    """
    if image.ndim != 3 or image.shape[0] != 1:
        raise ValueError(f"image must have the shape (1, H, W), not {image.shape}")
    if min(width, height, size) < 2:
        raise ValueError(f"width, height and size must be at least 2, not {width}, {height}, {size}")
    if x < 0 or y < 0 or x + width > image.shape[2] or y + height > image.shape[1]:
        raise ValueError(f"area ({x}, {y}, {width}, {height}) is not inside the image of {image.shape[2:0:-1]} pixels")
    pixelated = image.copy()
    known = np.ones(image.shape, dtype=bool)
    known[0, y : y + height, x : x + width] = False
    for top in range(y, y + height, size):
        for left in range(x, x + width, size):
            block = (0, slice(top, min(top + size, y + height)), slice(left, min(left + size, x + width)))
            pixelated[block] = image[block].mean().astype(image.dtype)
    return pixelated, known, image[~known]


def infer_block_sizes(pixelated: np.ndarray, areas: np.ndarray, block_size: tuple[int, int]) -> np.ndarray:
    """Infer the block size of each area from its pixels: the largest size in the range that leaves each block constant.

    Where neighbouring pixels of the area differ, a block begins. The offsets of these places from the area's corner are
    multiples of the block size, so the block size divides their greatest common divisor.

    Args:
        pixelated: (N, H, W) uint8.
        areas: (N, 4) integers: x, y, width, height.
        block_size: the range [least, most] of sizes to try, pixels.

    Returns:
        (N,) int64, pixels. If no size in the range fits, the largest size that does (1 if no larger block is constant).
    """
    height, width = pixelated.shape[1:]
    x, y, w, h = (areas[:, i, None].astype(np.int64) for i in range(4))  # (N, 1)
    columns, rows = np.arange(width) - x, np.arange(height) - y  # (N, W), (N, H): offsets within the area
    in_columns, in_rows = (columns >= 0) & (columns < w), (rows >= 0) & (rows < h)
    begins_x = (np.diff(pixelated, axis=2) != 0) & in_rows[:, :, None]  # (N, H, W - 1)
    begins_y = (np.diff(pixelated, axis=1) != 0) & in_columns[:, None, :]  # (N, H - 1, W)
    offsets_x = np.where(begins_x.any(axis=1) & in_columns[:, 1:] & (columns[:, 1:] > 0), columns[:, 1:], 0)
    offsets_y = np.where(begins_y.any(axis=2) & in_rows[:, 1:] & (rows[:, 1:] > 0), rows[:, 1:], 0)
    divisor = np.gcd.reduce(np.concatenate([offsets_x, offsets_y], axis=1), axis=1)
    sizes = np.arange(block_size[1], block_size[0] - 1, -1)
    fits = divisor[:, None] % sizes == 0
    return np.where(fits.any(axis=1), sizes[fits.argmax(axis=1)], np.maximum(divisor, 1))


def uniforms(ids: np.ndarray, stream: str, count: int) -> np.ndarray:
    """Random numbers that depend only on photo and stream, not on order, batch or worker.

    Each is an output of SplitMix64 (Steele, Lea & Flood 2014), whose state comes from the photo's id and the stream.

    Args:
        ids: (N,) uint64, see `names.photo_ids`.
        stream: the purpose of the numbers, with seed and epoch.
        count: numbers per photo.

    Returns:
        (N, count) float64 in [0, 1).
    """
    salt = np.frombuffer(hashlib.sha256(stream.encode("utf-8")).digest()[:8], dtype=np.uint64)
    golden = np.uint64(0x9E3779B97F4A7C15)
    states = _mix(_mix(ids ^ salt))[:, None] + golden * np.arange(1, count + 1, dtype=np.uint64)
    return (_mix(states) >> np.uint64(11)) * 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def draw_areas(u: np.ndarray, image_size: int, settings: PixelationSettings) -> np.ndarray:
    """Turn uniform numbers into areas and block sizes.

    Args:
        u: (N, 5) float64 in [0, 1).
        image_size: side of the square images, pixels.
        settings: the ranges; the upper ends of width and height are limited to `image_size`.

    Returns:
        (N, 5) int64: x, y, width, height, block_size in pixels. Width, height and block_size are uniform on their
        ranges; x and y are uniform on all positions with the area inside the image.

    Raises:
        DepixelError: the smallest area does not fit into the images.
    """
    for name, (least, _) in (("width", settings.width), ("height", settings.height)):
        if least > image_size:
            raise DepixelError(
                f"pixelation.{name}: the minimum is {least}, but the images are {image_size} x {image_size} pixels. "
                f"Lower it in params.yaml, or raise prepare.size"
            )

    def pick(column: np.ndarray, least: int, most: int | np.ndarray) -> np.ndarray:
        return np.floor(column * (most - least + 1)).astype(np.int64) + least

    width = pick(u[:, 2], settings.width[0], min(settings.width[1], image_size))
    height = pick(u[:, 3], settings.height[0], min(settings.height[1], image_size))
    x, y = pick(u[:, 0], 0, image_size - width), pick(u[:, 1], 0, image_size - height)
    return np.stack([x, y, width, height, pick(u[:, 4], *settings.block_size)], axis=1)
