"""Colors for a predicted luminance."""

import numpy as np

from depixel.areas.area import ResolvedArea
from depixel.areas.grid import block_means, spread
from depixel.pictures.pixels import LUMINANCE

COLOR_STEPS = 16
"""Number of steps of the smooth interpolation of colors (`smoothed`)."""
NEAR = 17
"""Side of the neighbourhood in which colors are compared with luminance, working pixels."""
FLAT = 10.0
"""Standard deviation of the luminance in gray levels. Where it varies much less, all channels change alike."""


def colored(window: np.ndarray, within: ResolvedArea, luminance: np.ndarray) -> np.ndarray:
    """Color a window: its area gets this luminance, and smoothly interpolated colors.

    Args:
        window: (3, height, width) float32, 0..255; the area has its block means.
        within: the area in the window.
        luminance: (height, width) float32, gray levels.

    Returns:
        (3, height, width) float32, not clipped.
    """
    smooth = smoothed(np.moveaxis(window, 0, 2), within)
    gray = smooth @ np.array(LUMINANCE, np.float32)
    return np.moveaxis(smooth + _share(smooth, gray) * (luminance - gray)[:, :, None], 2, 0)


def smoothed(window: np.ndarray, within: ResolvedArea) -> np.ndarray:
    """Interpolate the block means of an area smoothly (pycnophylactic interpolation, Tobler 1979).

    `depixel.model.blocks.Blocks.smooth` does the same in PyTorch; restoration by ONNX Runtime must not load PyTorch.

    Args:
        window: (H, W, C) float32.
        within: the area in the window.

    Returns:
        (H, W, C) float32.
    """
    smooth = window.copy()
    area, left, top = smooth[within.part], within.x, within.y
    means = block_means(area, within.grid)
    around = smooth[max(top - 1, 0) : top + within.height + 1, max(left - 1, 0) : left + within.width + 1]
    rows, columns = (
        slice(int(start > 0), int(start > 0) + n) for start, n in ((top, within.height), (left, within.width))
    )
    for _ in range(COLOR_STEPS):
        padded = np.pad(around, ((1, 1), (1, 1), (0, 0)), mode="edge")
        across = (padded[:, :-2] + padded[:, 2:]) * np.float32(0.25) + padded[:, 1:-1] * np.float32(0.5)
        blurred = (across[:-2] + across[2:]) * np.float32(0.25) + across[1:-1] * np.float32(0.5)
        blurred = blurred[rows, columns]
        lacking = means - block_means(blurred, within.grid)
        area[:] = blurred + spread(lacking, within.grid, (within.height, within.width))
    return smooth


def _share(smooth: np.ndarray, gray: np.ndarray) -> np.ndarray:
    """(H, W, 3): the change of each channel per unit of luminance, in the neighbourhood of each pixel.

    This is the slope of a regression of the channel on the luminance, as in a guided filter (He et al. 2013): at a red
    edge, red changes most. The mean of the three, weighted as in the luminance, is 1.
    """
    gray = gray[:, :, None]
    colors_mean, gray_mean = _local_mean(smooth), _local_mean(gray)
    covariance = _local_mean(smooth * gray) - colors_mean * gray_mean
    variance = _local_mean(gray * gray) - gray_mean * gray_mean
    return (covariance + FLAT**2) / (variance + FLAT**2)


def _local_mean(image: np.ndarray) -> np.ndarray:
    """(H, W, C) float64: the mean of the `NEAR` x `NEAR` pixels around each, as far as they are in the image."""
    for axis in (0, 1):
        at = np.arange(image.shape[axis])
        first, end = np.maximum(at - NEAR // 2, 0), np.minimum(at + NEAR // 2 + 1, len(at))
        sums = np.insert(np.cumsum(image, axis, dtype=np.float64), 0, 0, axis)
        count = (end - first).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = (sums.take(end, axis) - sums.take(first, axis)) / count
    return image
