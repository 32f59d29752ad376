"""Kinds of photos: the darkest third, the brightest third, and so on; to balance a training, and to score a model."""

import numpy as np

MEASURES = ("brightness", "contrast", "detail")
"""What kinds are told by: the mean, the standard deviation, and the deviation within blocks of `BLOCK` pixels."""

THIRDS = ("low", "middle", "high")
"""The names of the thirds."""

BLOCK = 8
"""Side of the blocks that hide the detail, pixels."""

CHUNK = 256
"""The number of photos that are measured at once, which bounds memory."""


def measures(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Measure light and detail of photos, in whole numbers, so that all machines agree.

    Args:
        images: (..., S, S) uint8, such as a memory-mapped array.
        rows: (N,) which of them.

    Returns:
        (N, 3) int64, in the order of `MEASURES`, each proportional to: the mean; the variance; the mean variance within
        blocks. A row or column that fills no block is not measured.
    """
    return np.concatenate([_measures(images[rows[start : start + CHUNK]]) for start in range(0, len(rows), CHUNK)])


def _measures(images: np.ndarray) -> np.ndarray:
    side = images.shape[1] // BLOCK * BLOCK
    pixels = images[:, :side, :side].astype(np.int64)
    blocks = pixels.reshape(len(pixels), side // BLOCK, BLOCK, side // BLOCK, BLOCK)
    sums, squares = blocks.sum(axis=(2, 4)), np.square(blocks).sum(axis=(2, 4))
    total = sums.sum(axis=(1, 2))
    variance = side**2 * squares.sum(axis=(1, 2)) - np.square(total)
    detail = (BLOCK**2 * squares - np.square(sums)).sum(axis=(1, 2))
    return np.stack([total, variance, detail], axis=1)


def thirds(values: np.ndarray) -> np.ndarray:
    """(N,) integers: the third that each of (N,) values is in, as a position in `THIRDS`; equal values are together."""
    return np.searchsorted(np.sort(values), values) * len(THIRDS) // len(values)
