"""JPEG's quantization, as it is seen in the pixels."""

import numpy as np
from scipy.fft import dct

from depixel.areas.area import ResolvedArea
from depixel.photos.jpeg import standard_table

BLOCK = 8
"""Side of the blocks that JPEG codes, pixels."""
LEAST_BLOCK = 4
"""Smaller blocks of a pixelation, and narrower areas, are not told: JPEG leaves too little of them."""
BASIS = dct(np.eye(BLOCK), axis=0, norm="ortho")
"""(8 frequencies, 8 pixels): the cosines of JPEG's transform."""
_ROUNDING = 0.45  # standard deviation that rounding of pixels and of colors gives a coefficient
_TURNED = 20.0  # log-likelihood ratio, to tell that a picture was turned
_GAIN = 0.25  # log-likelihood ratio of a coefficient; to tell a JPEG
BLOCKY = 4.0
"""Steps between constant blocks are smaller, gray levels."""


def luma(image: np.ndarray) -> np.ndarray:
    """(H, W) float32: the luminance that JPEG codes (ITU-R BT.601), 0..255, not rounded."""
    return (image if image.ndim == 2 else image @ np.array([0.299, 0.587, 0.114])).astype(np.float32)


def quantization(gray: np.ndarray) -> np.ndarray | None:
    """Which JPEG quantization the pixels have last gone through.

    A coefficient is near a multiple of its step, up to the rounding of pixels; steps are those under which the
    coefficients of up to 2 000 blocks are likeliest, of the standard's tables, also as they are in a picture that was
    turned by a right angle.

    Args:
        gray: (H, W) float, luminance, of which blocks begin in the upper left corner.

    Returns:
        (8, 8) integers, or None: no JPEG, or one of so high a quality that it cannot be told.
    """
    blocks = blocks_of(gray).reshape(-1, BLOCK, BLOCK)
    blocks = blocks[(blocks.min(axis=(1, 2)) > 0) & (blocks.max(axis=(1, 2)) < 255)]  # clipping spoils coefficients
    if len(blocks) < 4:
        return None
    blocks = blocks[:: -(-len(blocks) // 2000)]
    values = np.abs(BASIS @ (blocks - 128) @ BASIS.T)
    told = values > 1.5  # those that are zero fit any step
    steps = np.arange(1, 122)
    likely = np.zeros((len(steps), BLOCK, BLOCK))
    for i, step in enumerate(steps):
        off = values - step * np.round(values / step)
        near = np.exp(-0.5 * (off / _ROUNDING) ** 2) / (_ROUNDING * np.sqrt(2 * np.pi))
        likely[i] = (np.log(0.95 * step * near + 0.05) * told).sum(axis=0)
    rows, columns = np.indices((BLOCK, BLOCK))
    tables = [standard_table(quality) for quality in range(20, 100)]

    def likeliest(likely: np.ndarray) -> tuple[float, np.ndarray]:
        totals = [likely[np.minimum(table, 121) - 1, rows, columns].sum() for table in tables]
        best = int(np.argmax(totals))
        return float(totals[best]), tables[best]

    total, table = likeliest(likely)
    turned_total, turned = likeliest(likely.transpose(0, 2, 1))
    if turned_total > total + _TURNED:
        total, table = turned_total, turned.T
    return table if (total - likely[0].sum()) / max(told.sum(), 1) > _GAIN else None


def blocks_of(pixels: np.ndarray) -> np.ndarray:
    """(rows, columns, 8, 8): the whole JPEG blocks of a picture."""
    high, wide = (n // BLOCK for n in pixels.shape)
    return pixels[: high * BLOCK, : wide * BLOCK].reshape(high, BLOCK, wide, BLOCK).transpose(0, 2, 1, 3)


def is_aligned(area: ResolvedArea) -> bool:
    """Whether blocks consist of whole ones of JPEG."""
    grid = area.grid
    return not any(n % BLOCK for n in (area.x - grid.offset_x, area.y - grid.offset_y, grid.width, grid.height))


def is_later(gray: np.ndarray, table: np.ndarray, area: ResolvedArea) -> bool:
    """Whether the pixels of an area do not look as if they had gone through the quantization."""
    x, y, right, bottom = area.x, area.y, area.x + area.width, area.y + area.height
    touched = blocks_of(gray)[y // BLOCK : -(-bottom // BLOCK), x // BLOCK : -(-right // BLOCK)]
    values = BASIS @ (touched - 128) @ BASIS.T
    off = np.abs(values - table * np.round(values / table))
    off[:, :, 0, 0] = 0  # of a constant block, all rounding is here
    least, most = touched.min(axis=(2, 3)), touched.max(axis=(2, 3))
    known = (least > 0) & (most < 255) & (least < most)  # constant ones fit every quantization
    if not known.any():
        return min(area.grid.width, area.grid.height) > 2 * BLOCK or not ((least > 0) & (most < 255)).any()
    return bool((off.max(axis=(2, 3))[known] > 4 * _ROUNDING).mean() > 0.3)
