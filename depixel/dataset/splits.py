"""The split into training, validation and test photos.

The side of a photo depends only on its name, so adding or removing other photos does not move it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.settings import Settings
from depixel.base.tables import new_table, path_of, read_table
from depixel.dataset.prepared import Photo

SIDES = ("train", "validation", "test")
"""The sides of the split."""

COPY = "copy"
"""Replaces the side of a training photo that shows the same picture as a photo on another side."""

MADE_BY = "python stages/split.py"
"""The command that makes the split, for messages."""


class SplitSettings(Settings):
    """The section `split` of params.yaml.

    Attributes:
        by: "contributor" keeps all photos of a contributor on one side (photos in no folder count as one contributor);
            "photo" assigns each photo separately.
        seed: another seed gives another split.
        validation, test: expected fractions of contributors or photos on these sides, 0..1; the rest is for training.
        folds: number of folds of a cross-validation, 3 or more; 0 splits by `validation` and `test`.
        fold: which fold is the test side, from 0 on. The next fold, or the first after the last, is the validation
            side; the others are for training.
    """

    by: Literal["contributor", "photo"] = "contributor"
    seed: int = 4
    validation: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.15, gt=0, lt=1)
    folds: int = Field(0, ge=0)
    fold: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _something_is_left(self) -> "SplitSettings":
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must be below 1; the rest is for training")
        if 0 < self.folds < 3:
            raise ValueError(f"folds = {self.folds}: one fold is for test, one for validation; set 3 or more, or 0")
        if self.fold >= max(self.folds, 1):
            there = f"the folds are 0 to {self.folds - 1}" if self.folds else "set split.folds, too"
            raise ValueError(f"fold = {self.fold}: there is no such fold; {there}")
        return self


class Assigned(NamedTuple):
    """A row of the table of splits: a photo, and its side or `COPY`."""

    contributor: str
    name: str
    sha256: str
    split: str


def side(key: str, settings: SplitSettings) -> str:
    """The side of the contributor or photo named `key`; it depends only on the name and the settings.

    Let u be the first 8 bytes of sha256("seed/key"), divided by 2^64. The side is test if u < test, validation if
    u < test + validation, otherwise train. With folds, the key is in fold `floor(u * folds)`.
    """
    u = int.from_bytes(hashlib.sha256(f"{settings.seed}/{key}".encode()).digest()[:8], "big") / 2**64
    if settings.folds:
        after = (int(u * settings.folds) - settings.fold) % settings.folds
        return {0: "test", 1: "validation"}.get(after, "train")
    if u < settings.test:
        return "test"
    return "validation" if u < settings.test + settings.validation else "train"


def split(photos: Iterable[Photo], settings: SplitSettings) -> Iterator[Assigned]:
    """Assign each photo to its side; yields rows in the order of `photos`.

    Raises:
        DepixelError: a side is empty; raised after the last row.
    """
    whole = settings.by == "contributor"
    sides: dict[str, str] = {}  # those of contributors only; all photos may not fit in memory
    keys: Counter[str] = Counter()
    for photo in photos:
        key = photo.contributor if whole else path_of(photo.contributor, photo.name)
        found = sides.get(key)
        if not found:
            found = side(key, settings)
            keys[found] += 1
            if whole:
                sides[key] = found
        yield Assigned(*photo, found)
    if empty := [name for name in SIDES if not keys[name]]:
        larger = f"larger fractions than split.validation: {settings.validation} and split.test: {settings.test}"
        fewer = f"fewer folds than split.folds: {settings.folds}"
        raise DepixelError(
            f"no {settings.by} is for {' or '.join(empty)} (number of {settings.by}s: {keys.total()}). In params.yaml, "
            f"set {'split.by: photo, ' * whole}{fewer if settings.folds else larger}, or another split.seed than "
            f"{settings.seed}; or add {settings.by}s"
        )


def write_splits(rows: Iterable[Assigned], path: str | Path) -> dict[str, dict[str, int]]:
    """Write the table of splits.

    Returns:
        For each side and for `COPY`: the numbers of "photos" and "contributors".

    Raises:
        DepixelError: the table cannot be written.
    """
    names = (*SIDES, COPY)
    photos: Counter[str] = Counter()
    contributors: dict[str, set[str]] = {name: set() for name in names}
    with replacing(path) as beside, new_table(beside, Assigned) as table:
        for row in rows:
            table.writerow(row)
            photos[row.split] += 1
            contributors[row.split].add(row.contributor)
    return {name: {"photos": photos[name], "contributors": len(contributors[name])} for name in names}


def load_splits(path: str | Path, photos: Sequence[Photo]) -> np.ndarray:
    """Read the table of splits.

    Args:
        path: the table.
        photos: the N prepared photos, which must be those of the table.

    Returns:
        (N,) text: "train", "validation", "test" or "copy" for each photo, in their order.

    Raises:
        DepixelError: the table is missing, or belongs to other photos.
    """
    rows = list(read_table(path, Assigned, MADE_BY))
    if [row[:3] for row in rows] != list(photos) or not {row.split for row in rows} <= {*SIDES, COPY}:
        raise DepixelError(f"{path}: not a split of the prepared photos. Make it again with `{MADE_BY}`")
    return np.array([row.split for row in rows])
