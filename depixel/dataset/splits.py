"""Which photo is for training, validation, test: a matter of its own name, so other photos may come and go."""

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
COPY = "copy"
"""Stands for the side of a photo that is for training by its name, but shows the same as one on another side."""

MADE_BY = "python stages/split.py"


class SplitSettings(Settings):
    """How the photos are split.

    Attributes:
        by: "contributor" keeps all photos of one on one side (photos in no folder count as one contributor); "photo"
            splits each by itself.
        seed: another seed is another split.
        validation, test: the fractions of contributors or photos that are expected there; the rest is for training.
    """

    by: Literal["contributor", "photo"] = "contributor"
    seed: int = 4
    validation: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _something_is_left(self) -> "SplitSettings":
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must be below 1, so that something is left to train on")
        return self


class Assigned(NamedTuple):
    """A row of the table of splits: a photo, and its side or `COPY`."""

    contributor: str
    name: str
    sha256: str
    split: str


def side(key: str, settings: SplitSettings) -> str:
    """The side of the contributor or photo called `key`: it depends on the name, the seed and the fractions only.

    With u = the first 8 bytes of sha256("seed/key"), as a fraction of 2^64: test if u < test, validation if
    u < test + validation, otherwise train.
    """
    u = int.from_bytes(hashlib.sha256(f"{settings.seed}/{key}".encode()).digest()[:8], "big") / 2**64
    if u < settings.test:
        return "test"
    return "validation" if u < settings.test + settings.validation else "train"


def split(photos: Iterable[Photo], settings: SplitSettings) -> Iterator[Assigned]:
    """Assign each photo to its side; yields rows in the order of `photos`.

    Raises:
        DepixelError: a side is empty; after the last row.
    """
    whole = settings.by == "contributor"
    sides: dict[str, str] = {}  # of the contributors; there are too many photos to hold theirs
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
        raise DepixelError(
            f"no {settings.by} of {keys.total()} is for {' or '.join(empty)}. What helps, in params.yaml: "
            f"{'split.by: photo, ' * whole}larger fractions than split.validation: {settings.validation} and "
            f"split.test: {settings.test}, or another split.seed than {settings.seed}; or more {settings.by}s"
        )


def write_splits(rows: Iterable[Assigned], path: str | Path) -> dict[str, dict[str, int]]:
    """Write the table of splits; returns how many photos and contributors are on each side, and how many copies."""
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
    """Read the table of splits of `photos`.

    Returns:
        (N,) text: "train", "validation", "test" or "copy" for each photo, in their order.

    Raises:
        DepixelError: the table is not there, or not of these photos.
    """
    rows = list(read_table(path, Assigned, MADE_BY))
    if [row[:3] for row in rows] != list(photos) or not {row.split for row in rows} <= {*SIDES, COPY}:
        raise DepixelError(f"{path}: not a split of the prepared photos. Make it anew with `{MADE_BY}`")
    return np.array([row.split for row in rows])
