"""What photos are like to those who know nothing else of them: how neighbouring pixels go together."""

import numpy as np

RANGE = 8.0
"""Pixels over which the covariance falls to 1/e."""


def covariance(down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """The covariance of two pixels of a photo, 1 of a pixel with itself: exponential in their distance.

    Args:
        down, across: how far they are apart, pixels; shapes that broadcast.
    """
    return np.exp(-np.hypot(down, across) / RANGE)
