"""The covariance of neighbouring pixels in a typical photo."""

import numpy as np

RANGE = 8.0
"""The distance in pixels at which the covariance has fallen to 1/e."""


def covariance(down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """The covariance of two pixels of a photo, exp(-distance / `RANGE`); 1 for a pixel with itself.

    Args:
        down, across: vertical and horizontal distances, pixels; shapes that broadcast.

    Returns:
        Covariances of the broadcast shape, 0..1.
    """
    return np.exp(-np.hypot(down, across) / RANGE)
