"""Making the prepared photos: every valid photo upright, square and gray, once in each size."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from itertools import tee
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from depixel import reuse, sources
from depixel.errors import DepixelError
from depixel.files import replacing
from depixel.photos import UnreadableError, decode, square
from depixel.prepared import Photo, load_images, read_index
from depixel.settings import Settings
from depixel.sources import Entry
from depixel.tables import new_table, path_of
from depixel.validation import CHANGED, MOST_BYTES
from depixel.workers import each

REDUCING_GAP = 1.5  # of the larger images, which are only cut up for training


class PrepareSettings(Settings):
    """Sides of the prepared images in pixels; `train_size` 0 means no second, larger array."""

    size: int = Field(64, ge=8, le=1024)
    train_size: int = Field(128, ge=0, le=1024)

    @model_validator(mode="after")
    def _train_size_is_larger(self):
        if 0 < self.train_size < self.size:
            raise ValueError(f"train_size is 0 (none), or size = {self.size} or more")
        return self


def prepare(
    photos: Iterable[tuple[Entry, str]],
    count: int,
    folder: str | Path,
    settings: PrepareSettings,
    workers: int | None = None,
    on_done: Callable[[], object] = lambda: None,
) -> None:
    """Write images.npy (N, size, size), train_images.npy (N, train_size, train_size) or (0, 0, 0), and index.csv.

    The arrays are uint8, their rows in the order of `photos`. Memory does not grow with N. Images of photos that an
    earlier run with the same code and settings left in `folder` are taken from there, see `depixel.reuse`.

    Args:
        photos: as `valid_entries` gives them.
        count: N, how many they are.
        workers: processes; None: one for each core.
        on_done: called after each photo.

    Raises:
        DepixelError: a photo is not the one that was validated, or the outputs cannot be written.
    """
    folder = Path(folder)
    sides = {"images.npy": settings.size, "train_images.npy": settings.train_size}
    made_by = reuse.maker(__file__, settings)
    known, arrays = _known(folder, made_by, sides)
    tasks, listed = tee(reuse.matched(photos, known, _key))
    with ExitStack() as stack:
        besides = [stack.enter_context(replacing(folder / name)) for name in (*sides, "index.csv")]
        files = [reuse.Hashing(stack.enter_context(beside.open("wb"))) for beside in besides[:-1]]
        for file, side in zip(files, sides.values(), strict=True):
            shape = (count, side, side) if side else (0, 0, 0)
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        index = stack.enter_context(new_table(besides[-1], Photo))
        work = partial(_squares, settings)
        for images, ((entry, sha256), row) in zip(each(work, tasks, workers, _crashed), listed, strict=True):
            images = images or [array[row.number] for array in arrays if len(array)]
            for file, image in zip(files, images, strict=False):  # no second image where train_size is 0
                file.write(image)
            index.writerow(Photo(entry.contributor, entry.name, sha256))
            on_done()
        arrays = images = None  # Windows replaces no file that is mapped
    hashes = {name: file.sha256() for name, file in zip(sides, files, strict=True)}
    reuse.write_record(folder, made_by, hashes | {"index.csv": reuse.sha256(folder / "index.csv")})


class _Row(NamedTuple):
    """A photo that is prepared already, and where."""

    path: str
    sha256: str
    number: int


def _known(folder: Path, made_by: str, sides: Iterable[str]) -> tuple[Iterable[_Row], list[np.ndarray]]:
    """The photos that an earlier run with these settings left in `folder`, and their arrays."""
    if not reuse.reusable(folder, made_by, (*sides, "index.csv")):
        return [], []
    count = sum(1 for _ in read_index(folder / "index.csv"))
    rows = (
        _Row(path_of(photo.contributor, photo.name), photo.sha256, number)
        for number, photo in enumerate(read_index(folder / "index.csv"))
    )
    return rows, [load_images(folder / name, count) for name in sides]


def _key(photo: tuple[Entry, str] | _Row) -> str:
    return photo.path if isinstance(photo, _Row) else photo[0].path


def _squares(settings: PrepareSettings, task: tuple[tuple[Entry, str], _Row | None]) -> list[np.ndarray]:
    """The images of a photo, after a look at whether it is the one that was validated; none if they are known."""
    (entry, sha256), known = task
    try:
        data = sources.read(entry, MOST_BYTES)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UnreadableError(CHANGED)
        if known and known.sha256 == sha256:
            return []
        image = decode(data)
        larger = [square(image, settings.train_size, REDUCING_GAP)] if settings.train_size else []
        return [square(image, settings.size), *larger]
    except UnreadableError as error:
        raise DepixelError(f"{entry.path}: {error}") from error


def _crashed(task: tuple[tuple[Entry, str], _Row | None], fault: str) -> DepixelError:
    (entry, _), _ = task
    return DepixelError(
        f"{entry.path}: its decoding crashed ({fault}). Take it out of the photos, then run `dvc repro`"
    )
