"""Checking and scoring a submission: exactly as `depixel check` and `depixel score`, in a few milliseconds.

A valid submission for a test set has one layout only, for each width of its length fields. The true pixels are kept in
that layout, with the length fields before each prediction. So one comparison checks the fields, and one subtraction of
whole files gives all errors: it takes the same time whatever the values are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depixel.base.errors import DepixelError
from depixel.challenge import packed, test_sets
from depixel.challenge.test_sets import TestSet

DECIMALS = 3
"""Decimals of a score, wherever it is kept or shown. More would tell about the targets."""

_NAME = "the file"


class Score(NamedTuple):
    """What a submission reaches on some of the samples, with `DECIMALS` decimals.

    Attributes:
        rmse: over all pixels of these samples, gray levels; this one decides. mean: of the samples' RMSEs.
        ratio: `rmse` divided by that of the identity.
    """

    rmse: float
    mean: float
    ratio: float


class Scores(NamedTuple):
    """The score on all samples, and on those whose score is shown before the deadline."""

    final: Score
    shown: Score


class _Layout(NamedTuple):
    """How a valid submission looks, for one width of its length fields.

    Attributes:
        expected: (bytes,) int16, the file that the true pixels would be. fields: positions of what is no pixel.
        starts: (N,) position at which each prediction's length field begins.
    """

    expected: np.ndarray
    fields: np.ndarray
    starts: np.ndarray


class Scorer:
    """Checks and scores submissions for one test set.

    Args:
        test_set: what the teams have.
        targets: N flat uint8 arrays, the true pixels of each sample.
        shown: (N,) bool, the samples whose score is shown before the deadline.

    Raises:
        DepixelError: the targets do not fit the test set, or every area is flat, so that there is nothing to restore.
    """

    def __init__(self, test_set: TestSet, targets: Sequence[np.ndarray], shown: np.ndarray):
        if problems := test_sets.check(targets, test_set):
            raise DepixelError("\n  ".join(["the targets are not those of this test set:", *problems]))
        self.test_set, self.targets, self.shown = test_set, targets, shown
        self.lengths = np.array([len(target) for target in targets])
        self._layouts: dict[int, _Layout] = {}
        identity = [image[~known] for image, known in zip(test_set.pixelated, test_set.known, strict=True)]
        errors = [np.square(i.astype(np.int64) - t).sum() for i, t in zip(identity, targets, strict=True)]
        self._identity = [self._rmse(np.array(errors), chosen)[0] for chosen in (slice(None), shown)]
        if not all(self._identity):
            raise DepixelError("all areas of the targets are flat, so that there is nothing to restore and no ratio")

    @classmethod
    def load(cls, test_set: Path, targets: Path, creation: Mapping[str, object]) -> "Scorer":
        """The scorer of a challenge's folder.

        Args:
            test_set, targets: the files. creation: what creation.json holds.

        Raises:
            DepixelError: a file cannot be read, or they do not belong together.
        """
        samples = test_sets.read_test_set(test_set)
        photos, areas = test_sets.read_targets(targets)
        true = [
            photos[i % len(photos)][y : y + height, x : x + width].ravel()
            for i, (x, y, width, height, _) in enumerate(areas.tolist())
        ]
        shown = np.ones(len(true), bool)
        hidden = creation.get("hidden", [])
        shown[np.array(hidden, np.int64)] = False
        return cls(samples, true, shown)

    def content(self, data: bytes, most: int) -> bytes:
        """The content of an upload, unpacked.

        Raises:
            DepixelError: the upload is empty, damaged, or has more than `most` bytes when unpacked.
        """
        if not data:
            raise DepixelError("the file is empty")
        return packed.unpacked(data, most)

    def check(self, content: bytes) -> None:
        """Raise `DepixelError` if `depixel check` would refuse a submission, with its reasons."""
        if self._is_laid_out(np.frombuffer(content, np.uint8)):
            return
        try:
            predictions = test_sets.predictions_of(content, _NAME)
        except DepixelError as error:
            raise DepixelError(str(error).removeprefix(f"{_NAME}: ")) from error
        if problems := test_sets.check(predictions, self.test_set):
            raise DepixelError("\n  ".join(["not a submission for this test set:", *problems]))
        raise AssertionError("the layout is wrong, and `check` finds nothing")

    def score(self, content: bytes) -> Scores:
        """Score a submission that `check` lets pass."""
        data = np.frombuffer(content, np.uint8)
        layout = self._layout(content[0])
        errors = data.astype(np.int16)
        errors -= layout.expected
        squares = np.add.reduceat(np.square(errors, dtype=np.int32), layout.starts).astype(np.int64)
        final, shown = (
            Score(*(round(value, DECIMALS) for value in (rmse, mean, rmse / identity)))
            for identity, (rmse, mean) in zip(
                self._identity, (self._rmse(squares, slice(None)), self._rmse(squares, self.shown)), strict=True
            )
        )
        return Scores(final, shown)

    def _is_laid_out(self, data: np.ndarray) -> bool:
        if not 1 <= data[0] <= 4 or int(self.lengths.max() - 1).bit_length() > 8 * int(data[0]):
            return False
        layout = self._layout(int(data[0]))
        return len(data) == len(layout.expected) and bool((data[layout.fields] == layout.expected[layout.fields]).all())

    def _layout(self, width: int) -> _Layout:
        if width not in self._layouts:
            fields = [int(length - 1).to_bytes(width, "big") for length in self.lengths]
            pieces = zip(fields, self.targets, strict=True)
            whole = bytes([width]) + b"".join(field + target.tobytes() for field, target in pieces)
            starts = 1 + np.concatenate([[0], np.cumsum(self.lengths + width)[:-1]])
            places = np.concatenate([[0], (starts[:, None] + np.arange(width)).ravel()])
            self._layouts[width] = _Layout(np.frombuffer(whole, np.uint8).astype(np.int16), places, starts)
        return self._layouts[width]

    def _rmse(self, squares: np.ndarray, chosen: "slice | np.ndarray") -> tuple[float, float]:
        """The pooled RMSE of some samples, and the mean of their RMSEs; `squares` (N,) are the samples' sums."""
        errors, pixels = squares[chosen].astype(np.float64), self.lengths[chosen]
        return float(np.sqrt(errors.sum() / pixels.sum())), float(np.sqrt(errors / pixels).mean())
