"""The computation for a request: from the bytes of a picture file to the bytes of another, or to numbers.

These are plain functions without HTTP. Those that take a `Told` as their last argument run in worker processes.
`restore` and `doubt` run in threads, because the model is in memory once, and leave files to worker processes.
"""

import ctypes
import gc
import io
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, lru_cache
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from depixel.areas.area import Area, ResolvedArea
from depixel.base.errors import DepixelError
from depixel.detection import search
from depixel.detection.jpeg import luma, noise_of
from depixel.detection.reasons import reason
from depixel.model.windows import VIEWS
from depixel.pictures import formats, pixels
from depixel.pictures import restorer as restoring
from depixel.pictures.kinds import is_written
from depixel.pictures.resolve import resolve
from depixel.pictures.restorer import Model, Restorer
from depixel.pictures.tiles import Shown, Trust, tiles_of
from depixel.web import samples
from depixel.web.areas import FoundArea, FoundAreas, around, found_area, text_of
from depixel.web.jobs import Job
from depixel.web.workers import Told, Workers

MOST_SEARCHED = 13_000_000
"""Maximum number of pixels of a search, in a whole picture or in a part of it."""

_PART = 2**16  # pixels of windows, in one view, that a model restores between two looks at the job
_LARGE = 4_000_000  # pixels of a picture from which on memory is given back after it


class Made(NamedTuple):
    """A resulting picture.

    Attributes:
        content: the bytes of its file.
        kind: the format of the file: PNG, JPEG, WEBP, TIFF, BMP, PPM or TGA.
        areas: the areas with their block sizes, as text: x,y,width,height,block;...
        notes: sentences for people on further content of the uploaded file, and on damage.
    """

    content: bytes
    kind: str
    areas: str
    notes: tuple[str, ...] = ()


class Spent(NamedTuple):
    """The work of a model: number of pixels, each counted once a view, and seconds."""

    pixels: int
    seconds: float


# -- in threads --------------------------------------------------------------------------------------------------------


class _Watched:
    """A model that looks at a job before each small part of its work, and tells it what is done.

    Args:
        model: the model.
        job: the job. If it is cancelled or late, the model raises its exception.
        windows: number of windows, each counted once a view, of the whole job.

    Attributes:
        pixels: number of pixels of windows that it has predicted, each counted once a view.
        seconds: time that this took.
    """

    def __init__(self, model: Model, job: Job, windows: int):
        self._model, self._job, self._windows, self._done = model, job, windows, 0
        self.pixels, self.seconds = 0, 0.0

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = VIEWS[:1]) -> np.ndarray:
        most = max(1, _PART // (windows.shape[1] * windows.shape[2]))
        parts = [slice(start, start + most) for start in range(0, len(windows), most)]
        return np.concatenate([self._part(windows[part], areas[part], views) for part in parts])

    def _part(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int]) -> np.ndarray:
        seen = []
        for view in views:
            self._job.check()
            begin = time.perf_counter()
            seen.append(self._model.predict_windows(windows, areas, [view]))
            self.seconds, self.pixels = self.seconds + time.perf_counter() - begin, self.pixels + windows.size
            self._done += len(windows)
            self._job.tell(min(1.0, self._done / self._windows))
        return np.stack(seen).mean(axis=0, dtype=np.float32)


def restore(
    restorer: Restorer,
    workers: Workers,
    job: Job,
    data: bytes,
    areas: list[Area],
    views: Literal[1, 2, 8],
    trust: Trust,
    png: bool = False,
    anyway: bool = False,
) -> tuple[Made, "Spent"]:
    """Restore the areas of a picture file; the result has these areas with the detected block sizes. Also says what
    the model has done.

    Args:
        restorer: the restorer.
        workers: processes that read and write the file.
        job: the job to tell.
        data: the bytes of the file.
        areas: the areas.
        views, trust: as for `Restorer.restore`.
        png: whether to make a PNG. A picture whose format cannot be written becomes a PNG in any case.
        anyway: `ignore_check` of `Restorer.restore`.

    Raises:
        DepixelError: `data` is not a picture, or `areas` do not fit it (`Restorer.restore`).
        CanceledError, StoppedError: see `Job.check`.
    """
    picture, resolved = workers.run(job, opened, data, areas, png, anyway)
    watched = _Watched(restorer.model, job, views * _windows(picture.pixels, resolved, trust))
    restored = Restorer(watched).restore(picture.pixels, resolved, views, trust)
    made = workers.run(job, closed, picture.showing(restored), resolved)
    if restored.shape[0] * restored.shape[1] >= _LARGE:
        del picture, restored
        _give_memory_back()
    return made, Spent(watched.pixels, watched.seconds)


def doubt(
    restorer: Restorer, workers: Workers, job: Job, data: bytes, areas: list[Area], anyway: bool = False
) -> bytes:
    """Draw where the restorations of turned views disagree (`restorer.disagreement`): a gray PNG, in sixteenths of a
    gray level.

    Raises:
        DepixelError, CanceledError, StoppedError: as in `restore`.
    """
    picture, resolved = workers.run(job, opened, data, areas, False, anyway)
    watched = _Watched(restorer.model, job, 8 * _windows(picture.pixels, resolved, "rounded"))
    disagreement = restoring.disagreement(Restorer(watched), picture.pixels, resolved)
    made = workers.run(job, gray, disagreement)
    if disagreement.size >= _LARGE:
        del picture, disagreement
        _give_memory_back()
    return made


def _windows(picture: np.ndarray, areas: Sequence[ResolvedArea], trust: Trust) -> int:
    """Number of windows that a restoration takes."""
    return sum(1 for area in areas for _ in tiles_of(Shown(area, trust), picture.shape))


def _give_memory_back() -> None:
    """Give the memory of freed arrays back to the system, which the C library would keep."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


# -- in worker processes -----------------------------------------------------------------------------------------------


def opened(
    data: bytes, areas: list[Area], png: bool, anyway: bool, told: Told
) -> tuple[formats.Picture, list[ResolvedArea]]:
    """Read a picture file, and complete its areas from the pixels. `png`, `anyway`: as for `restore`.

    Raises:
        DepixelError: `data` is not a picture, or `areas` do not fit it.
    """
    picture = _read(data, png)
    return picture, resolve(picture.pixels, areas, anyway)


def closed(picture: formats.Picture, areas: list[ResolvedArea], told: Told) -> Made:
    """The file of a picture with these areas."""
    return Made(formats.encoded(picture), picture.format, text_of(areas), picture.notes)


def gray(disagreement: np.ndarray, told: Told) -> bytes:
    """A disagreement, gray levels, as a gray PNG in sixteenths of a level."""
    return _png((16 * disagreement).clip(0, 255).round().astype(np.uint8))


def pixelate(data: bytes, areas: list[Area], png: bool, told: Told) -> Made:
    """Pixelate the areas of a picture file, and remove thumbnails of the original. `png`: as for `restore`.

    Raises:
        DepixelError: `data` is not a picture, or `areas` do not fit it (`pixels.pixelate`).
    """
    picture = _read(data, png)
    told(0.5, ())
    pixelated = pixels.pixelate(picture.pixels, areas)
    return Made(formats.encoded(picture.hiding(pixelated)), picture.format, text_of(areas), picture.notes)


def _read(data: bytes, png: bool) -> formats.Picture:
    picture = formats.decoded(data)
    own = is_written(picture.format, picture.has_alpha) and not png
    return picture if own else formats.as_format(picture, "PNG")


def find(data: bytes, near: str | None, told: Told) -> FoundAreas:
    """Find the pixelated areas of a picture file.

    Args:
        data: the bytes of the file.
        near: x,y,width,height as text: search only there, and half as much around it; None: the whole picture.
        told: called with what is done and found. If it returns False, the areas found so far are returned.

    Raises:
        DepixelError: `data` is not a picture, `near` is outside it, or it has more than `MOST_SEARCHED` pixels.
    """
    seen = formats.decoded(data).searchable()
    height, width = seen.shape[:2]
    rows, columns = around(near, width, height) if near else (slice(0, height), slice(0, width))
    seen = seen[rows, columns]
    if seen.shape[0] * seen.shape[1] > MOST_SEARCHED:
        raise DepixelError(
            f"areas are looked for in at most {MOST_SEARCHED // 10**6} megapixels; draw them roughly, and what is "
            "there is found more exactly"
        )
    known: tuple[list[search.Found], list[FoundArea]] = ([], [])
    complete = True

    def placed(found: list[search.Found]) -> list[FoundArea]:
        return [found_area(one.area.moved(columns.start, rows.start), one.score, why(one)) for one in found]

    # once at most: each takes half a second in a large picture
    gray, noise = cache(lambda: luma(seen)), cache(lambda: noise_of(seen))

    def why(one: search.Found) -> str | None:
        return None if one.certain else reason(gray(), one.area, noise())

    def watch(share: float, found: list[search.Found]) -> bool:
        nonlocal known, complete
        if found is not known[0]:
            known = found, placed(found)
        complete = told(share, known[1])
        return complete

    found = search.find(np.ascontiguousarray(seen), watch)
    return FoundAreas(width=width, height=height, areas=placed(found), complete=complete)


def show(data: bytes, told: Told) -> bytes:
    """Convert a picture file to a PNG that every browser shows: upright, 8 bits, without metadata.

    Raises:
        DepixelError: `data` is not a picture.
    """
    pixels = formats.decoded(data).pixels
    told(0.5, ())
    return _png(pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8))


# -- samples -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=len(samples.SAMPLES))
def sample(number: int) -> bytes:
    """A generated picture as a PNG; `number`: its position in `samples.SAMPLES`."""
    return _png(samples.drawn(number))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()
