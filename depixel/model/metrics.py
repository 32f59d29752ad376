"""The two root mean squared errors that the challenge is about. NumPy only."""

from collections.abc import Sequence

import numpy as np


def rmse_pooled(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> float:
    """Root mean squared error over all pixels of all images together.

    sqrt(sum over images and pixels of (prediction - target)^2 / number of all pixels): an image counts by its pixels.

    Args:
        predictions, targets: one array of pixels per image, of any length and real dtype; gray levels 0..255.

    Returns:
        The error in gray levels; 0 is perfect.

    Raises:
        ValueError: no image, an image without a pixel, or a prediction that is not of its target's shape.

    >>> rmse_pooled([np.array([3, 0]), np.array([1])], [np.array([0, 0]), np.array([1])])  # sqrt((9 + 0 + 0) / 3)
    1.7320508075688772
    """
    return float(np.sqrt(np.concatenate(_squares(predictions, targets)).mean()))


def rmse_mean(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> float:
    """Mean over the images of each image's own root mean squared error: every image counts the same.

    mean over images of sqrt(mean over its pixels of (prediction - target)^2). Arguments, unit and errors are those of
    `rmse_pooled`.

    >>> rmse_mean([np.array([3, 3]), np.array([1])], [np.array([0, 0]), np.array([1])])  # (3 + 0) / 2
    1.5
    """
    return float(np.mean([np.sqrt(squares.mean()) for squares in _squares(predictions, targets)]))


def _squares(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> list[np.ndarray]:
    if not len(predictions) == len(targets) > 0:
        raise ValueError(f"{len(predictions)} predictions for {len(targets)} targets; one each is needed, at least one")
    for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        if prediction.shape != target.shape or not target.size:
            raise ValueError(f"image {i}: a prediction of shape {prediction.shape} for a target of {target.shape}")
    # uint8 differences would wrap around
    return [np.square(p.ravel().astype(float) - t.ravel()) for p, t in zip(predictions, targets, strict=True)]
