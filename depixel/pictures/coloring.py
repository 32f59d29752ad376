"""Colors for a luminance that was predicted."""

import numpy as np

from depixel.areas.area import ResolvedArea
from depixel.areas.grid import block_means, spread
from depixel.pictures.pixels import LUMINANCE

COLOR_STEPS = 16
"""Of the smooth interpolation of colors (`smoothed`)."""
NEAR = 17
"""The neighbourhood in which colors are compared with luminance, working pixels a side."""
FLAT = 10.0
"""Where luminance varies much less than this (gray levels) near by, all channels change alike."""


def colored(window: np.ndarray, within: ResolvedArea, luminance: np.ndarray) -> np.ndarray:
    """A window (3, height, width) with this luminance (height, width) in its area."""
    smooth = smoothed(np.moveaxis(window, 0, 2), within)
    gray = smooth @ np.array(LUMINANCE, np.float32)
    return np.moveaxis(smooth + _share(smooth, gray) * (luminance - gray)[:, :, None], 2, 0)


def smoothed(window: np.ndarray, within: ResolvedArea) -> np.ndarray:
    """(H, W, C) float32: the block means of an area interpolated smoothly (pycnophylactic interpolation, Tobler 1979).

    `depixel.model.blocks.Blocks.smooth` does the same in PyTorch, which restoring by ONNX Runtime does without.
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
    """(H, W, 3): by how much each color changes where the luminance changes by 1, in the neighbourhood.

    The slope of their regression on it, as in a guided filter (He et al. 2013): at a red edge, red changes most. The
    weighed mean of the three is 1.
    """
    gray = gray[:, :, None]
    colors_mean, gray_mean = _local_mean(smooth), _local_mean(gray)
    covariance = _local_mean(smooth * gray) - colors_mean * gray_mean
    variance = _local_mean(gray * gray) - gray_mean * gray_mean
    return (covariance + FLAT**2) / (variance + FLAT**2)


def _local_mean(image: np.ndarray) -> np.ndarray:
    """(H, W, C) float64: the mean of what is of the `NEAR` x `NEAR` pixels around each within the image."""
    for axis in (0, 1):
        at = np.arange(image.shape[axis])
        first, end = np.maximum(at - NEAR // 2, 0), np.minimum(at + NEAR // 2 + 1, len(at))
        sums = np.insert(np.cumsum(image, axis, dtype=np.float64), 0, 0, axis)
        count = (end - first).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = (sums.take(end, axis) - sums.take(first, axis)) / count
    return image
