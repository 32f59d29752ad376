"""JPEG's quantization, estimated from the pixels."""

import numpy as np
from scipy.fft import dct

from depixel.areas.area import ResolvedArea
from depixel.photos.jpeg import standard_table

BLOCK = 8
"""Side of the blocks that JPEG codes, pixels."""
LEAST_BLOCK = 4
"""Smallest block size, and smallest side of an area, that is reported in a JPEG, pixels. JPEG blurs smaller ones."""
BASIS = dct(np.eye(BLOCK), axis=0, norm="ortho")
"""(8 frequencies, 8 pixels): the cosines of JPEG's transform."""
_ROUNDING = 0.45  # standard deviation of a coefficient that comes from rounding pixels and colors
_TURNED = 20.0  # least log-likelihood ratio for a picture that was turned
_GAIN = 0.25  # least log-likelihood ratio per coefficient for a JPEG
BLOCKY = 4.0
"""Upper limit of the steps between constant blocks that JPEG itself makes, gray levels."""


def luma(image: np.ndarray) -> np.ndarray:
    """(H, W) float32: the luminance that JPEG codes (ITU-R BT.601), 0..255, not rounded."""
    return (image if image.ndim == 2 else image @ np.array([0.299, 0.587, 0.114])).astype(np.float32)


def quantization(gray: np.ndarray) -> np.ndarray | None:
    """Estimate the last JPEG quantization of the pixels.

    Each coefficient is near a multiple of its quantization step, up to the rounding of pixels. The result is the
    standard table under which the coefficients of up to 2 000 blocks are likeliest. The transposed tables are also
    tried, because the picture may have been turned by a right angle.

    Args:
        gray: (H, W) float, luminance; JPEG blocks begin in the upper left corner.

    Returns:
        (8, 8) integers, the quantization steps; None: no JPEG, or its quality is too high to detect.
    """
    blocks = blocks_of(gray).reshape(-1, BLOCK, BLOCK)
    blocks = blocks[(blocks.min(axis=(1, 2)) > 0) & (blocks.max(axis=(1, 2)) < 255)]  # clipping spoils coefficients
    if len(blocks) < 4:
        return None
    blocks = blocks[:: -(-len(blocks) // 2000)]
    values = np.abs(BASIS @ (blocks - 128) @ BASIS.T)
    told = values > 1.5  # a zero coefficient fits any step
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


def noise_of(image: np.ndarray) -> float:
    """The noise, gray levels, that JPEG's quantization left in a picture, (H, W) or (H, W, 3) uint8; 0: none."""
    table = quantization(luma(image))
    return 0.0 if table is None else float(np.sqrt(np.mean(table**2 / 12)))


def blocks_of(pixels: np.ndarray) -> np.ndarray:
    """(rows, columns, 8, 8): the complete JPEG blocks of a picture (H, W)."""
    high, wide = (n // BLOCK for n in pixels.shape)
    return pixels[: high * BLOCK, : wide * BLOCK].reshape(high, BLOCK, wide, BLOCK).transpose(0, 2, 1, 3)


def is_aligned(area: ResolvedArea) -> bool:
    """Whether the area's blocks consist of whole JPEG blocks."""
    grid = area.grid
    return not any(n % BLOCK for n in (area.x - grid.offset_x, area.y - grid.offset_y, grid.width, grid.height))


def is_later(gray: np.ndarray, table: np.ndarray, area: ResolvedArea) -> bool:
    """Whether an area was pixelated after the JPEG: its pixels do not fit the quantization.

    Args:
        gray: (H, W) float, luminance; JPEG blocks begin in the upper left corner.
        table: (8, 8) quantization steps.
        area: the area.
    """
    x, y, right, bottom = area.x, area.y, area.x + area.width, area.y + area.height
    touched = blocks_of(gray)[y // BLOCK : -(-bottom // BLOCK), x // BLOCK : -(-right // BLOCK)]
    values = BASIS @ (touched - 128) @ BASIS.T
    off = np.abs(values - table * np.round(values / table))
    off[:, :, 0, 0] = 0  # in a constant block, all rounding is in this coefficient
    least, most = touched.min(axis=(2, 3)), touched.max(axis=(2, 3))
    known = (least > 0) & (most < 255) & (least < most)  # constant blocks fit every quantization
    if not known.any():
        return min(area.grid.width, area.grid.height) > 2 * BLOCK or not ((least > 0) & (most < 255)).any()
    return bool((off.max(axis=(2, 3))[known] > 4 * _ROUNDING).mean() > 0.3)
