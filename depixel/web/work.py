"""The computation for a request: from the bytes of a picture file to the bytes of another, or to numbers.

These are plain functions, called in threads, without HTTP. This module also converts areas: the text of a request
becomes areas (`named`), and areas become text (`Made.areas`) or `FoundAreas`.
"""

import base64
import io
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field

from depixel.areas.area import Area, ResolvedArea, masked
from depixel.areas.grid import MOST_BLOCK
from depixel.base.errors import DepixelError
from depixel.curation import synthetic
from depixel.detection import search
from depixel.detection.jpeg import BLOCK
from depixel.model.windows import VIEWS
from depixel.photos.decoding import decode
from depixel.pictures import formats, pixels
from depixel.pictures import restorer as restoring
from depixel.pictures.kinds import is_written
from depixel.pictures.resolve import resolve
from depixel.pictures.restorer import Model, Restorer
from depixel.pictures.tiles import Trust

MOST_SEARCHED = 13_000_000
"""Maximum number of pixels of a search, in a whole picture or in a part of it."""
SAMPLES = ((11, 1), (9, 3), (16, 1), (13, 3))
"""Contributor and number of the generated photos for a first try."""

_SEARCHING = threading.Lock()  # one search at a time, because it needs some hundred bytes per pixel of a tile


class StoppedError(Exception):
    """Work was stopped, because it takes too long or because nobody waits for it."""


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


class FoundArea(BaseModel):
    """A pixelated area, in pixels of the upright picture."""

    x: int
    y: int
    width: int
    height: int
    block_size: int | None = Field(description="null: blocks are no squares of whole pixels")
    block_width: float
    block_height: float
    offset_x: float = Field(description="columns that the first blocks lack; 0 if blocks begin at the left side")
    offset_y: float = Field(description="rows that the first blocks lack")
    area: str = Field(description="all of these numbers, as the parameter `area` of a restoration takes them")
    mask: str | None = Field(
        description="the shape of an area that is no rectangle, as the parameter `mask` of a restoration takes it"
    )
    certain: bool = Field(description="the evidence is beyond what untouched photos show")


class FoundAreas(BaseModel):
    """The result of a search."""

    width: int = Field(description="of the picture, upright")
    height: int
    areas: list[FoundArea] = Field(description="likeliest first, none overlapping")
    complete: bool = Field(description="false: the time was up, and there may be more areas")


class _Watched(NamedTuple):
    """A model that checks `stop` before each batch of windows."""

    model: Model
    stop: threading.Event

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = VIEWS[:1]) -> np.ndarray:
        if self.stop.is_set():
            raise StoppedError
        return self.model.predict_windows(windows, areas, views)


def watched(restorer: Restorer, stop: threading.Event) -> Restorer:
    """A restorer with the same model that raises `StoppedError` soon after `stop` is set."""
    return Restorer(_Watched(restorer.model, stop))


def named(texts: Sequence[str], block: int | None = None, masks: Sequence[str] = ()) -> list[Area]:
    """Read the areas of a request.

    Args:
        texts: x,y,width,height, optionally with the block size (8, 16x8) and two offsets; or x,y,width,height with the
            number of blocks across and down behind an @: 0,0,64,48@8x6.
        block: block size in pixels of areas without one.
        masks: the shapes of the areas, one for each area, or none at all. "": a rectangle; otherwise a picture file of
            the area's size in base64url, light (128 or more) where the area is pixelated.

    Raises:
        DepixelError: a mask is not a picture or has another size, or the numbers of masks and areas differ.
    """
    if masks and len(masks) != len(texts):
        raise DepixelError(f"{len(masks)} masks for {len(texts)} areas: each area needs one, which may be empty")
    areas = [_named(text, block) for text in texts]
    return [
        _in_shape(area, mask) if mask else area for area, mask in zip(areas, masks or [""] * len(areas), strict=True)
    ]


def _in_shape(area: Area, mask: str) -> Area:
    try:
        seen = formats.decoded(base64.b64decode(mask + "=" * (-len(mask) % 4), altchars=b"-_", validate=True)).seen()
        if seen.shape[:2] != (area.height, area.width):
            raise DepixelError(
                f"it has {seen.shape[1]} x {seen.shape[0]} pixels, the area {area.width} x {area.height}"
            )
        whole = Area(0, 0, area.width, area.height)
        return replace(area, mask=masked(seen, [whole], (area.height, area.width))[0].mask)
    except (ValueError, DepixelError) as error:
        told = error if isinstance(error, DepixelError) else "not base64url"
        raise DepixelError(f"mask of area {area.place}: {told}") from error


def _mask(area: ResolvedArea) -> str | None:
    if area.mask is None:
        return None
    file = io.BytesIO()
    Image.fromarray(area.mask).save(file, "PNG", optimize=True)
    return base64.urlsafe_b64encode(file.getvalue()).decode().rstrip("=")


def _named(text: str, block: int | None) -> Area:
    rectangle, _, grid = text.partition("@")
    numbers = rectangle.split(",")
    place: list[int | str | None] = [int(number) for number in numbers[:4]]
    if grid:
        columns, rows = map(int, grid.split("x"))
        return Area.of(place).in_grid(columns, rows)
    blocks: list[int | str | None] = [*numbers[4:]] or [block]
    return Area.of([*place, *blocks])


def restore(
    restorer: Restorer, data: bytes, areas: list[Area], views: Literal[1, 2, 8], trust: Trust, png: bool = False
) -> Made:
    """Restore the areas of a picture file; the result has these areas with the detected block sizes.

    Args:
        restorer: the restorer.
        data: the bytes of the file.
        areas: the areas.
        views, trust: as for `Restorer.restore`.
        png: whether to make a PNG. A picture whose format cannot be written becomes a PNG in any case.

    Raises:
        DepixelError: `data` is not a picture, or `areas` do not fit it (`Restorer.restore`).
    """
    picture = _read(data, png)
    resolved = resolve(picture.pixels, areas)
    restored = restorer.restore(picture.pixels, resolved, views, trust)
    return Made(formats.encoded(picture.showing(restored)), picture.format, _text(resolved), picture.notes)


def pixelate(data: bytes, areas: list[Area], png: bool = False) -> Made:
    """Pixelate the areas of a picture file, and remove thumbnails of the original. `png`: as for `restore`.

    Raises:
        DepixelError: `data` is not a picture, or `areas` do not fit it (`pixels.pixelate`).
    """
    picture = _read(data, png)
    pixelated = pixels.pixelate(picture.pixels, areas)
    return Made(formats.encoded(picture.hiding(pixelated)), picture.format, _text(areas), picture.notes)


def _read(data: bytes, png: bool) -> formats.Picture:
    picture = formats.decoded(data)
    own = is_written(picture.format, picture.has_alpha) and not png
    return picture if own else formats.as_format(picture, "PNG")


def _text(areas: Iterable[Area]) -> str:
    return ";".join(",".join(map(str, area.numbers())) for area in areas)


def find(data: bytes, near: str | None, stop: threading.Event) -> FoundAreas:
    """Find the pixelated areas of a picture file.

    Args:
        data: the bytes of the file.
        near: x,y,width,height as text: search only there, and half as much around it; None: the whole picture.
        stop: set it to end the search; the areas found so far are returned.

    Raises:
        DepixelError: `data` is not a picture, `near` is outside it, or it has more than `MOST_SEARCHED` pixels.
    """
    seen = formats.decoded(data).searchable()
    height, width = seen.shape[:2]
    rows, columns = _around(near, width, height) if near else (slice(0, height), slice(0, width))
    seen = seen[rows, columns]
    if seen.shape[0] * seen.shape[1] > MOST_SEARCHED:
        raise DepixelError(
            f"areas are looked for in at most {MOST_SEARCHED // 10**6} megapixels; draw them roughly, and what is "
            "there is found more exactly"
        )
    with _SEARCHING:
        found = search.find(np.ascontiguousarray(seen), lambda share, found: not stop.is_set())
    areas = [_found_area(one.area.moved(columns.start, rows.start), one.certain) for one in found]
    return FoundAreas(width=width, height=height, areas=areas, complete=not stop.is_set())


def _found_area(area: ResolvedArea, certain: bool) -> FoundArea:
    return FoundArea(
        x=area.x,
        y=area.y,
        width=area.width,
        height=area.height,
        block_size=area.block_size if area.is_square else None,
        block_width=float(area.grid.width),
        block_height=float(area.grid.height),
        offset_x=float(area.offset_x),
        offset_y=float(area.offset_y),
        area=",".join(map(str, area.numbers())),
        mask=_mask(area),
        certain=certain,
    )


def _around(near: str, width: int, height: int) -> tuple[slice, slice]:
    """The rows and columns of a picture for a search near an area (text); they begin with JPEG blocks.

    Raises:
        DepixelError: the area is outside the picture.
    """
    parts = []
    x, y, wide, high = (int(number) for number in near.partition("@")[0].split(",")[:4])
    for start, extent, length in ((y, high, height), (x, wide, width)):
        first = max(start - extent // 2 - MOST_BLOCK // 10, 0) // BLOCK * BLOCK
        parts.append(slice(first, min(start + extent + extent // 2 + MOST_BLOCK // 10, length)))
    rows, columns = parts
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise DepixelError(f"near: not inside the picture, which is {width} pixels wide and {height} high")
    return rows, columns


def doubt(restorer: Restorer, data: bytes, areas: list[Area]) -> bytes:
    """Draw where the restorations of turned views disagree (`restorer.disagreement`): a gray PNG, in sixteenths of a
    gray level.

    Raises:
        DepixelError: `data` is not a picture, or `areas` do not fit it (`Restorer.restore`).
    """
    disagreement = restoring.disagreement(restorer, formats.decoded(data).pixels, areas)
    return _png((16 * disagreement).clip(0, 255).round().astype(np.uint8))


def show(data: bytes) -> bytes:
    """Convert a picture file to a PNG that every browser shows: upright, 8 bits, without metadata.

    Raises:
        DepixelError: `data` is not a picture.
    """
    pixels = formats.decoded(data).pixels
    return _png(pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8))


@lru_cache(maxsize=len(SAMPLES))
def sample_photo(number: int) -> bytes:
    """A generated photo as a PNG; `number`: its index in `SAMPLES`."""
    contributor, photo = SAMPLES[number]
    return _png(np.asarray(decode(synthetic.photo(0, synthetic.STRANGER + contributor, photo)).convert("RGB")))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()
