"""The challenge's two root mean squared errors, in NumPy."""

from collections.abc import Sequence

import numpy as np


def rmse_pooled(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> float:
    """Root mean squared error over all pixels of all images together.

    sqrt(sum over images and pixels of (prediction - target)^2 / number of all pixels): large areas weigh more.

    Args:
        predictions, targets: one array of pixels per image, of any length and real dtype; gray levels 0..255.

    Returns:
        The error in gray levels; 0 is perfect.

    Raises:
        ValueError: there is no image, an image has no pixel, or a prediction has another shape than its target.

    >>> rmse_pooled([np.array([3, 0]), np.array([1])], [np.array([0, 0]), np.array([1])])  # sqrt((9 + 0 + 0) / 3)
    1.7320508075688772
    """
    return float(np.sqrt(np.concatenate(_squares(predictions, targets)).mean()))


def rmse_mean(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> float:
    """Mean of the root mean squared errors of the images: every image has the same weight.

    mean over images of sqrt(mean over its pixels of (prediction - target)^2). Arguments, unit and errors are those of
    `rmse_pooled`.

    >>> rmse_mean([np.array([3, 3]), np.array([1])], [np.array([0, 0]), np.array([1])])  # (3 + 0) / 2
    1.5
    """
    return float(np.mean([np.sqrt(squares.mean()) for squares in _squares(predictions, targets)]))


def _squares(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> list[np.ndarray]:
    if not len(predictions) == len(targets) > 0:
        raise ValueError(f"{len(predictions)} predictions for {len(targets)} targets; need equal numbers, at least 1")
    for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        if prediction.shape != target.shape or not target.size:
            raise ValueError(f"image {i}: a prediction of shape {prediction.shape} for a target of {target.shape}")
    # uint8 differences would wrap around
    return [np.square(p.ravel().astype(float) - t.ravel()) for p, t in zip(predictions, targets, strict=True)]
