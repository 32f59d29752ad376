"""Which photo is for training, validation, test: a matter of its own name, so other photos may come and go."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from depixel.errors import DepixelError
from depixel.prepared import Photo
from depixel.settings import Settings
from depixel.tables import path_of, read_table

SIDES = ("train", "validation", "test")
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
    def _something_is_left(self):
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must be below 1, so that something is left to train on")
        return self


class Assigned(NamedTuple):
    """A row of the table of splits: a photo and its side."""

    contributor: str
    name: str
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


def split(photos: Sequence[Photo], settings: SplitSettings) -> list[Assigned]:
    """Assign each photo to its side; rows in the order of `photos`.

    Raises:
        DepixelError: a side is empty.
    """
    whole = settings.by == "contributor"
    keys = [photo.contributor if whole else path_of(photo.contributor, photo.name) for photo in photos]
    sides = {key: side(key, settings) for key in keys}
    if empty := [name for name in SIDES if name not in sides.values()]:
        raise DepixelError(
            f"no {settings.by} of {len(sides)} is for {' or '.join(empty)}. What helps, in params.yaml: "
            f"{'split.by: photo, ' * whole}larger fractions than split.validation: {settings.validation} and "
            f"split.test: {settings.test}, or another split.seed than {settings.seed}; or more {settings.by}s"
        )
    return [Assigned(photo.contributor, photo.name, sides[key]) for photo, key in zip(photos, keys, strict=True)]


def counts(rows: Sequence[Assigned]) -> dict:
    """Count the photos and contributors on each side."""
    found = {}
    for name in SIDES:
        contributors = [row.contributor for row in rows if row.split == name]
        found[name] = {"photos": len(contributors), "contributors": len(set(contributors))}
    return found


def load_splits(path: str | Path, photos: Sequence[Photo]) -> np.ndarray:
    """Read the table of splits of `photos`.

    Returns:
        (N,) text: "train", "validation" or "test" for each photo, in their order.

    Raises:
        DepixelError: the table is not there, or not of these photos.
    """
    rows = read_table(path, Assigned, MADE_BY)
    if [row[:2] for row in rows] != [photo[:2] for photo in photos] or not {row.split for row in rows} <= set(SIDES):
        raise DepixelError(f"{path}: not a split of the prepared photos. Make it anew with `{MADE_BY}`")
    return np.array([row.split for row in rows])
