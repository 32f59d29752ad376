"""Areas on their way: the text of a request becomes areas (`named`), and areas become text or `FoundArea`."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace

from PIL import Image
from pydantic import BaseModel, Field

from depixel.areas.area import Area, ResolvedArea, masked
from depixel.areas.grid import MOST_BLOCK
from depixel.base.errors import DepixelError
from depixel.detection.jpeg import BLOCK
from depixel.pictures import formats

SMALL = 1_000_000
"""Number of pixels up to which a search is quick."""


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
    evidence: float = Field(
        description="natural logarithm of how much likelier a pixelation is here than a part of the photo"
    )
    doubt: str | None = Field(description="why it is not certain, for people; null: it is")


class FoundAreas(BaseModel):
    """The result of a search."""

    width: int = Field(description="of the picture, upright")
    height: int
    areas: list[FoundArea] = Field(description="likeliest first, none overlapping")
    complete: bool = Field(description="false: the time was up, and there may be more areas")


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


def text_of(areas: Iterable[Area]) -> str:
    """Areas with their block sizes as text: x,y,width,height,block;..."""
    return ";".join(",".join(map(str, area.numbers())) for area in areas)


def found_area(area: ResolvedArea, evidence: float, doubt: str | None = None) -> FoundArea:
    """An area that a search has found, for clients. `doubt`: why it is not certain."""
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
        certain=doubt is None,
        evidence=round(evidence, 1),
        doubt=doubt,
    )


def is_small(near: str) -> bool:
    """Whether a search near an area (text) is quick."""
    _, _, wide, high = (int(number) for number in near.partition("@")[0].split(",")[:4])
    return 4 * wide * high <= SMALL


def around(near: str, width: int, height: int) -> tuple[slice, slice]:
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
