"""Makes the prepared photos: every valid photo upright, square and gray."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import tee
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from depixel.base import reuse
from depixel.base.errors import DepixelError
from depixel.base.files import hash_of, replacing
from depixel.base.settings import Settings
from depixel.base.tables import new_table, path_of
from depixel.dataset.prepared import ARRAYS, Photo, load_images, read_index
from depixel.photos import archives
from depixel.photos.archives import Entry
from depixel.photos.decoding import UnreadableError, decode, square
from depixel.photos.hashes import HASHES, hashes, load_hashes
from depixel.photos.rules import CHANGED, MOST_BYTES
from depixel.photos.runner import each

MOST_ROWS = 256
"""The maximum number of known rows that are copied at a time."""

_TOGETHER = 32  # new rows that are written at a time


class PrepareSettings(Settings):
    """The section `prepare` of params.yaml.

    Attributes:
        size: side of the prepared images, 8 to 1024 pixels.
    """

    size: int = Field(64, ge=8, le=1024)


def prepare(
    photos: Iterable[tuple[Entry, str]],
    count: int,
    folder: str | Path,
    settings: PrepareSettings,
    workers: int | None = None,
    on_done: Callable[[], object] = lambda: None,
) -> None:
    """Write the prepared photos: arrays with rows in the order of `photos`, and the index of these rows.

    images.npy: (N, size, size) uint8. hashes.npy: (N, HASHES) uint64, see `depixel.photos.hashes`. index.csv:
    a `Photo` for each row. Memory does not grow with N. If an earlier run with the same code and settings wrote to
    `folder`, rows of unchanged photos are copied from there, see `depixel.base.reuse`.

    Args:
        photos: as `valid_entries` yields them.
        count: N, the number of photos.
        folder: the folder of the arrays and the index.
        settings: the section `prepare` of params.yaml.
        workers: number of processes; None: one per core. It does not change the outputs.
        on_done: called after each photo.

    Raises:
        DepixelError: a photo has changed since its validation, a process was killed or ran out of memory, or the
            outputs cannot be written.
    """
    folder = Path(folder)
    shapes = dict(zip(ARRAYS, (("|u1", settings.size, settings.size), ("<u8", HASHES)), strict=True))
    made_by = reuse.maker(__file__, settings)
    known, arrays = _known(folder, made_by)
    pairs = reuse.matched(photos, known, _key)
    tasks, listed = tee(pairs)
    new = (None if _same(photo, row) else photo for photo, row in tasks)
    with ExitStack() as stack:
        besides = {name: stack.enter_context(replacing(folder / name)) for name in (*ARRAYS, "index.csv")}
        files = {name: reuse.Hashing(stack.enter_context(besides[name].open("wb"))) for name in ARRAYS}
        for name, file in files.items():
            kind, *shape = shapes[name]
            header = {"descr": kind, "fortran_order": False, "shape": (count, *shape)}
            np.lib.format.write_array_header_1_0(file, header)
        index = stack.enter_context(new_table(besides["index.csv"], Photo))
        write = stack.enter_context(_Writer(files.values())).write
        first = last = 0  # range of the known rows to copy next
        fresh: list[list[np.ndarray]] = []  # new rows to write next; of the two, one is empty
        done = each(partial(_prepared, settings), new, workers, _crashed)
        for rows, ((entry, sha256), row) in zip(done, listed, strict=True):
            if rows or row is None or row.number != last or last - first == MOST_ROWS:
                write([array[first:last] for array in arrays])
                first = last = row.number if row else 0
            if not rows or len(fresh) == _TOGETHER:
                write([np.stack(part) for part in zip(*fresh, strict=True)])
                fresh = []
            if rows:
                fresh.append(rows)
            else:
                last += 1
            index.writerow(Photo(entry.contributor, entry.name, sha256))
            on_done()
        write([array[first:last] for array in arrays])
        write([np.stack(part) for part in zip(*fresh, strict=True)])
        arrays.clear()  # Windows cannot replace a mapped file
    record = {name: file.sha256() for name, file in files.items()}
    record |= {"index.csv": hash_of(folder / "index.csv", "sha256")}
    reuse.write_record(folder / reuse.RECORD, made_by, record)


class _Row(NamedTuple):
    """A photo that an earlier run prepared, and its row."""

    path: str
    sha256: str
    number: int


def _known(folder: Path, made_by: str) -> tuple[Iterable[_Row], list[np.ndarray]]:
    """The photos that an earlier run with the same code and settings left in `folder`, and their arrays."""
    if not reuse.reusable(folder / reuse.RECORD, made_by, (*ARRAYS, "index.csv")):
        return [], []
    count = sum(1 for _ in read_index(folder / "index.csv"))
    rows = (
        _Row(path_of(photo.contributor, photo.name), photo.sha256, number)
        for number, photo in enumerate(read_index(folder / "index.csv"))
    )
    loads = zip(ARRAYS, (load_images, load_hashes), strict=True)
    return rows, [load(folder / name, count) for name, load in loads]


def _key(photo: tuple[Entry, str] | _Row) -> str:
    return photo.path if isinstance(photo, _Row) else photo[0].path


def _same(photo: tuple[Entry, str], row: _Row | None) -> bool:
    return row is not None and row.sha256 == photo[1]


class _Writer:
    """Writes to files in order, in a background thread, because copying known rows takes as long as everything else."""

    def __init__(self, files: Collection[reuse.Hashing]):
        self._files, self._thread = files, ThreadPoolExecutor(1)
        self._last: Future[None] = Future()
        self._last.set_result(None)

    def write(self, contents: Sequence[np.ndarray]) -> None:
        """Append an array to each file; raises errors of the previous call."""
        if contents and len(contents[0]):
            self._last.result()
            self._last = self._thread.submit(self._write, contents)

    def _write(self, contents: Sequence[np.ndarray]) -> None:
        for file, content in zip(self._files, contents, strict=True):
            file.write(content.data)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()
        self._last.result()


def _prepared(settings: PrepareSettings, photo: tuple[Entry, str] | None) -> list[np.ndarray]:
    """The rows of a photo in the arrays, after a check that it has not changed; none if it is already known."""
    if photo is None:
        return []
    entry, sha256 = photo
    try:
        data = archives.read(entry, MOST_BYTES)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UnreadableError(CHANGED)
        image = decode(data)
        small = square(image, settings.size)
        return [small, hashes(small)]
    except UnreadableError as error:
        raise DepixelError(f"{entry.path}: {error}") from error


def _crashed(photo: tuple[Entry, str] | None, fault: str) -> DepixelError:
    path = photo[0].path if photo else "a known photo"  # known photos are not decoded, so they should not crash
    return DepixelError(f"{path}: decoding it crashed ({fault}). Remove it from the photos, then run `dvc repro`")
