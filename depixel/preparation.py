"""Making the prepared photos: every valid photo upright, square and gray, once in each size."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from depixel import sources
from depixel.errors import DepixelError
from depixel.files import replacing
from depixel.photos import UnreadableError, decode, square
from depixel.prepared import Photo
from depixel.settings import Settings
from depixel.sources import Entry
from depixel.tables import path_of, write_table
from depixel.validation import MOST_BYTES, Verdict

REDUCING_GAP = 1.5  # of the larger images, which are only cut up for training
CHANGED = (
    "The photos are not those that were validated. Validate them anew: `dvc repro`, or `python stages/validate.py`"
)


class PrepareSettings(Settings):
    """Sides of the prepared images in pixels; `train_size` 0 means no second, larger array."""

    size: int = Field(64, ge=8, le=1024)
    train_size: int = Field(128, ge=0, le=1024)

    @model_validator(mode="after")
    def _train_size_is_larger(self):
        if 0 < self.train_size < self.size:
            raise ValueError(f"train_size is 0 (none), or size = {self.size} or more")
        return self


def valid_entries(entries: Sequence[Entry], verdicts: Sequence[Verdict]) -> list[tuple[Entry, str]]:
    """Pick the valid entries, each with the sha256 that the manifest has for it.

    Raises:
        DepixelError: the entries are not exactly those of the manifest.
    """
    for entry, verdict in zip_longest(entries, verdicts):
        if not (entry and verdict and entry[:3] == verdict[:3]):  # contributor, name, bytes
            raise DepixelError(f"{path_of(*(entry or verdict)[:2])}: new, gone or changed. {CHANGED}")
    return [(entry, verdict.sha256) for entry, verdict in zip(entries, verdicts, strict=True) if verdict.code == 0]


def prepare(
    photos: Sequence[tuple[Entry, str]],
    folder: str | Path,
    settings: PrepareSettings,
    workers: int | None = None,
    on_done: Callable[[], object] = lambda: None,
) -> None:
    """Write images.npy (N, size, size), train_images.npy (N, train_size, train_size) or (0, 0, 0), and index.csv.

    The arrays are uint8, their rows in the order of `photos`. Memory does not grow with N.

    Args:
        photos: as `valid_entries` gives them.
        workers: processes; None: one for each core.
        on_done: called after each photo.

    Raises:
        DepixelError: a photo is not the one that was validated, or the outputs cannot be written.
    """
    folder = Path(folder)
    sides = {"images.npy": settings.size, "train_images.npy": settings.train_size}
    work = partial(_squares, settings)
    with ExitStack() as stack:
        files = []
        for name, side in sides.items():
            beside = stack.enter_context(replacing(folder / name))
            files.append(stack.enter_context(beside.open("wb")))
            shape = (len(photos), side, side) if side else (0, 0, 0)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(files[-1], header)
        for images in sources.each(work, photos, workers):
            for file, image in zip(files, images, strict=False):  # no second image where train_size is 0
                file.write(image)
            on_done()
    write_table(folder / "index.csv", Photo, [Photo(e.contributor, e.name, sha256) for e, sha256 in photos])


def _squares(settings: PrepareSettings, photo: tuple[Entry, str]) -> list[np.ndarray]:
    entry, sha256 = photo
    try:
        data = sources.read(entry, MOST_BYTES)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UnreadableError(CHANGED)
        image = decode(data)
        larger = [square(image, settings.train_size, REDUCING_GAP)] if settings.train_size else []
        return [square(image, settings.size), *larger]
    except UnreadableError as error:
        raise DepixelError(f"{entry.path}: {error}") from error
