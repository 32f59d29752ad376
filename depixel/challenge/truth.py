"""The true pixels of a test set, and the score of a submission against them.

The course stores the true pixels in the format of a submission (`target.data`). This project stores photos and areas
(`targets.npz`), which also give the pixelated pixels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depixel.base.errors import DepixelError
from depixel.challenge import test_sets
from depixel.challenge.safe_pickle import ClaimedArray, bytes_of, evaluate
from depixel.challenge.test_sets import TestSet
from depixel.model.metrics import rmse_mean, rmse_pooled
from depixel.model.pixelation import prepare_image

_KEYS = ("target_arrays", "targets", "predictions")  # possible keys in a dict
_SUBMISSION = (1, 2, 3, 4)  # possible first bytes of a submission


class Truth(NamedTuple):
    """The unknown pixels of a test set's samples, in its order.

    Attributes:
        targets: N flat uint8 arrays, the true values.
        identities: N flat uint8 arrays, the pixelated values; None if unknown.
    """

    targets: Sequence[np.ndarray]
    identities: Sequence[np.ndarray] | None = None


def read(path: str | Path, test_set: TestSet | None = None) -> Truth:
    """Read the true pixels of a test set from a file of any supported format, packed or not.

    Args:
        path: a targets.npz or its folder; a file in the format of a submission, such as the course's target.data; or a
            pickle of a list of uint8 arrays, whose code is not run.
        test_set: gives the pixelated pixels if the file does not; None: they stay unknown.

    Raises:
        DepixelError: the file cannot be read, holds something else, or belongs to another test set.
    """
    path = Path(path)
    if path.is_dir() or test_sets.is_npz(path):
        return of_areas(*test_sets.read_targets(path))
    data = test_sets.content_of(path)
    targets = test_sets.read_submission(path) if data[0] in _SUBMISSION else _of_pickle(path, data)
    if test_set is None:
        return Truth(targets)
    if problems := test_sets.check(targets, test_set):
        raise DepixelError("\n  ".join([f"{path}: not the targets of this test set:", *problems]))
    return Truth(targets, [image[~known] for image, known in zip(test_set.pixelated, test_set.known, strict=True)])


def of_areas(photos: np.ndarray, areas: np.ndarray) -> Truth:
    """The truth of pixelated photos.

    Args:
        photos, areas: as `test_sets.read_targets` returns them.
    """
    identities, targets = [], []
    for i, area in enumerate(areas.tolist()):
        pixelated, known, target = prepare_image(photos[None, i % len(photos)], *area)
        identities.append(pixelated[~known])
        targets.append(target)
    return Truth(targets, identities)


def score(predictions: Sequence[np.ndarray], truth: Truth) -> dict[str, float]:
    """Score a submission against known targets.

    Args:
        predictions: N arrays, 1-D uint8: the unknown pixels of each sample in row-major order.
        truth: the true pixels.

    Returns:
        rmse_pooled and rmse_mean (`depixel.model.metrics`), gray levels. If the pixelated values are known, also
        ratio_pooled and ratio_mean: each RMSE divided by that of the pixelated values.

    Raises:
        DepixelError: the number of predictions or the length of one is wrong, or the identity has no error.
    """
    targets, identities = truth
    if len(predictions) != len(targets):
        raise DepixelError(f"{len(predictions)} predictions for {len(targets)} samples: are they for another test set?")
    for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        if len(prediction) != len(target):
            raise DepixelError(f"prediction {i} has {len(prediction)} pixels, but {len(target)} are unknown")
    scores = {"rmse_pooled": rmse_pooled(predictions, targets), "rmse_mean": rmse_mean(predictions, targets)}
    if identities is None:
        return scores
    if not (pooled := rmse_pooled(identities, targets)):
        raise DepixelError("all areas of the targets are flat: there is nothing to restore, and no ratio")
    return scores | {
        "ratio_pooled": scores["rmse_pooled"] / pooled,
        "ratio_mean": scores["rmse_mean"] / rmse_mean(identities, targets),
    }


def _of_pickle(path: Path, data: bytes) -> list[np.ndarray]:
    try:
        held = evaluate(data, test_sets.MOST_OPERATIONS)
        if isinstance(held, dict):
            held = next((held[key] for key in _KEYS if key in held), held)
        if not isinstance(held, list | tuple) or not held:
            raise DepixelError(f"it holds a {type(held).__name__}")
        arrays = [_claimed(array) for array in held]
        if sum(len(array.data) for array in arrays) > len(data):
            raise DepixelError("it repeats an array, so it has more pixels than the file has bytes")
        return [np.frombuffer(bytes_of(array, f"array {i}"), np.uint8) for i, array in enumerate(arrays)]
    except DepixelError as error:
        raise DepixelError(
            f"{path}: not the targets of a test set ({error}). Targets are a targets.npz, a file in the format of a "
            "submission, or a pickle of a list of uint8 arrays with the unknown pixels of each sample"
        ) from error


def _claimed(array: object) -> ClaimedArray:
    """Check an array of a pickle and return it."""
    if not isinstance(array, ClaimedArray) or array.dtype != "u1" or array.fortran is True:
        raise DepixelError("one of its values is not an array of uint8 in row-major order")
    if not isinstance(array.data, bytes | bytearray | str) or not array.data:
        raise DepixelError("one of its arrays is empty")
    return array
