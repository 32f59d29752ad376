"""The prepared photos: packed arrays of square gray images, and one index."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from depixel import sources
from depixel.errors import DepixelError
from depixel.files import replacing
from depixel.photos import UnreadableError, decode, squares
from depixel.settings import Settings
from depixel.sources import Entry, path_of
from depixel.tables import read_table, write_table
from depixel.validation import MOST_BYTES, Verdict

MADE_BY = "python stages/prepare.py"
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


class Photo(NamedTuple):
    """A row of the index: which photo stands in this row of the arrays. Text; as in the manifest."""

    contributor: str
    name: str
    sha256: str


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
    work = partial(_squares, [side for side in sides.values() if side])
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


def _squares(sizes: Sequence[int], photo: tuple[Entry, str]) -> list[np.ndarray]:
    entry, sha256 = photo
    try:
        data = sources.read(entry, MOST_BYTES)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UnreadableError(CHANGED)
        return squares(decode(data), sizes)
    except UnreadableError as error:
        raise DepixelError(f"{entry.path}: {error}") from error


def load_index(path: str | Path) -> list[Photo]:
    """Read the index: N rows, those of the arrays. Raises `DepixelError` if it is not there or no index."""
    return read_table(path, Photo, MADE_BY)


def load_images(path: str | Path, count: int) -> np.ndarray:
    """Open prepared images, memory-mapped and read-only.

    Args:
        count: the rows of the index.

    Returns:
        (count, S, S) uint8, or (0, 0, 0) where there are none of this size.

    Raises:
        DepixelError: the file is not there, or not such an array.
    """
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DepixelError(f"{path}: no such file. Make it with `{MADE_BY}`") from None
    except (OSError, ValueError, EOFError) as error:
        raise DepixelError(f"{path}: not an array ({error}). Make it anew with `{MADE_BY}`") from error
    side = images.shape[-1] if images.ndim else 0
    if images.dtype != np.uint8 or images.shape not in ((count, side, side), (0, 0, 0)):
        raise DepixelError(
            f"{path}: {images.dtype} of shape {images.shape}, where the index says uint8 of shape ({count}, S, S). "
            f"Make it anew with `{MADE_BY}`"
        )
    return images
