"""How often an area that is found for certain is wrong, by the kind of picture.

    python benchmarks/certain.py --photos ../shared/photos

Makes pictures of each kind from photos of every second contributor, in color and as large as the photo is: pixelated in
many ways, enlarged, resized, and without any area. Each is searched as it is and as JPEGs. An area that is called
certain is right if a true one has all four edges within 1 pixel of its own, and blocks within 0.1 pixels along an axis
of more than one; else it is wrong. Where one is no rectangle, nine tenths of what either covers must be the same;
where it fades into the photo, its edges may be 6 pixels off. "right" is the share of the true areas that are found so,
"wrong" that of the certain areas, with its 95 % interval (Wilson). Seconds are those of all cores together; "slow"
counts pictures beyond 3 s and 10 s a megapixel.

The same photos, areas and blocks are drawn each time: the name of a photo, the kind and --seed decide.
"""

import io
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import binary_dilation, binary_erosion

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from depixel.areas.area import Area, ResolvedArea  # noqa: E402
from depixel.base.console import progress  # noqa: E402
from depixel.detection.search import find  # noqa: E402
from depixel.model.pixelation import photo_ids, uniforms  # noqa: E402
from depixel.photos import processes  # noqa: E402
from depixel.photos.archives import Entry  # noqa: E402
from depixel.pictures.pixels import pixelate  # noqa: E402
from depixel.pictures.tools import Tool, counts  # noqa: E402
from recipes.photos import entries_of, loaded  # noqa: E402

NEAR, SOFT = 1, 6  # pixels that an edge may be off; that one may be which has no place of its own, as it fades
SAME = 0.9  # of two masks, intersection over union
NEAR_BLOCKS = 0.1  # pixels that the side of a block may be off
BOUND = 3, 10  # seconds of one core a picture, and a megapixel

Draw = np.random.Generator
Made = tuple[np.ndarray, list[Area]]
Kind = Callable[[np.ndarray, Draw], Made]


def drawn(draw: Draw, image: np.ndarray, least: int = 6, most: int = 24, square: bool = True) -> Area:
    """An area in blocks of some size, of at least 4 of them a side as far as there is room."""
    height, width = image.shape[:2]
    across, down = (int(draw.integers(least, most, endpoint=True)) for _ in range(2))
    down = across if square else down if down != across else down + 2
    sides = [
        min(int(block * draw.uniform(4, 14)), room - 8) for block, room in ((across, width), (down, height))
    ]  # the last blocks may be cut off
    x, y = (int(draw.integers(2, room - side - 2)) for side, room in zip(sides, (width, height), strict=True))
    return Area(x, y, *sides, across, block_height=down)


def blocks(image: np.ndarray, draw: Draw, square: bool = True) -> Made:
    """Blocks of whole pixels from the corner of the area on."""
    area = drawn(draw, image, square=square)
    return pixelate(image, [area]), [area]


def tool(image: np.ndarray, draw: Draw, like: Tool) -> Made:
    """Blocks as a tool makes them, hardly ever of whole pixels."""
    area = drawn(draw, image, square=False)
    area = area.in_grid(*counts(area))
    return pixelate(image, [area], like), [area]


def nearest(image: np.ndarray, draw: Draw) -> Made:
    """A pixel for each block, instead of a mean."""
    area = drawn(draw, image)
    block, picture = int(area.block_width or 1), image.copy()
    rows, columns = (np.arange(side) // block * block for side in (area.height, area.width))
    picture[area.part] = image[area.part][rows[:, None], columns]
    return picture, [area]


def ellipse(image: np.ndarray, draw: Draw) -> Made:
    """The ellipse within an area."""
    area = drawn(draw, image)
    y, x = np.ogrid[-1 : 1 : area.height * 1j, -1 : 1 : area.width * 1j]
    return _masked(image, area, x**2 + y**2 <= 1)


def corner(image: np.ndarray, draw: Draw) -> Made:
    """An L, or one turned."""
    area = drawn(draw, image)
    mask = np.ones((area.height, area.width), bool)
    mask[: area.height // 2, area.width // 2 :] = False
    return _masked(image, area, np.ascontiguousarray(mask[:: draw.choice([-1, 1]), :: draw.choice([-1, 1])]))


def _masked(image: np.ndarray, area: Area, mask: np.ndarray) -> Made:
    area = replace(area, mask=mask)
    return pixelate(image, [area]), [area]


def touching(image: np.ndarray, draw: Draw) -> Made:
    """Two areas side by side, in blocks of different sizes."""
    area = drawn(draw, image, 6, 14)
    block = int(area.block_width or 1)
    half = area.width // 2
    other = block + int(draw.integers(2, 7))
    areas = [
        Area(area.x, area.y, half, area.height, block),
        Area(area.x + half, area.y, area.width - half, area.height, other),
    ]
    return pixelate(image, areas), areas


def soft(image: np.ndarray, draw: Draw) -> Made:
    """An area whose edges fade into the photo over some pixels, as of a feathered selection."""
    area = drawn(draw, image)
    fade = int(draw.integers(2, 6))
    mask = Image.new("L", image.shape[1::-1], 0)
    inside = area.x + fade, area.y + fade, area.x + area.width - fade - 1, area.y + area.height - fade - 1
    ImageDraw.Draw(mask).rectangle(inside, fill=255)
    share = np.asarray(mask.filter(ImageFilter.GaussianBlur(fade / 2)), np.float64)[:, :, None] / 255
    mixed = pixelate(image, [area]) * share + image * (1 - share)
    true = replace(area, x=area.x + fade, y=area.y + fade, width=area.width - 2 * fade, height=area.height - 2 * fade)
    return mixed.round().astype(np.uint8), [true]


def text(image: np.ndarray, draw: Draw) -> Made:
    """An area with text drawn over it."""
    picture, (area,) = blocks(image, draw)
    canvas = Image.fromarray(picture)
    size = max(8, area.height // 4)
    place = area.x + area.width // 8, area.y + area.height // 3
    ImageDraw.Draw(canvas).text(place, "hidden", fill=(255, 255, 255), font_size=size)
    return np.asarray(canvas), [area]


def enlarged(image: np.ndarray, draw: Draw, factor: int, with_area: bool) -> Made:
    """The whole picture enlarged by repeating its pixels."""
    picture, areas = blocks(image, draw) if with_area else (image, [])
    return picture.repeat(factor, axis=0).repeat(factor, axis=1), [_scaled(area, Fraction(factor)) for area in areas]


def resized(image: np.ndarray, draw: Draw, factor: Fraction) -> Made:
    """The whole picture resized smoothly, after an area was pixelated."""
    picture, (area,) = blocks(image, draw)
    size = tuple(round(side * factor) for side in image.shape[1::-1])
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)), [_scaled(area, factor)]


def _scaled(area: Area, factor: Fraction) -> Area:
    """Rounded to pixels; blocks are not."""
    x0, y0, x1, y1 = (round(edge * factor) for edge in (area.x, area.y, area.x + area.width, area.y + area.height))
    block = Fraction(area.block_width or 0) * factor
    return Area(x0, y0, x1 - x0, y1 - y0, block)


def untouched(image: np.ndarray, draw: Draw) -> Made:
    """The photo as it is."""
    return image, []


def flat(image: np.ndarray, draw: Draw) -> Made:
    """A drawing as of a screen, of the photo's size: windows, bars, table cells, lines of text, an icon of squares."""
    height, width = image.shape[:2]

    def color() -> tuple[int, ...]:
        return tuple(draw.integers(0, 256, 3).tolist())

    canvas = Image.new("RGB", (width, height), color())
    pen = ImageDraw.Draw(canvas)
    for _ in range(12):
        x, y = int(draw.integers(0, width - 8)), int(draw.integers(0, height - 8))
        wide, high = int(draw.integers(8, width // 2 + 9)), int(draw.integers(8, height // 2 + 9))
        pen.rectangle((x, y, x + wide, y + high), fill=color(), outline=color())
        pen.text((x + 3, y + 3), "Name  Size  Date 1234"[: max(wide // 8, 1)], fill=color(), font_size=11)
        if draw.random() < 0.3:  # a table, whose cells are of one color each
            step = int(draw.integers(12, 40))
            for at in range(y, y + high, step):
                pen.line((x, at, x + wide, at), fill=color())
    return np.asarray(canvas), []


KINDS: dict[str, Kind] = {
    "square blocks": blocks,
    "blocks not square": partial(blocks, square=False),
    "like pillow": partial(tool, like="pillow"),
    "like opencv": partial(tool, like="opencv"),
    "like flameshot": partial(tool, like="flameshot"),
    "like imagemagick": partial(tool, like="imagemagick"),
    "nearest-sampled": nearest,
    "ellipse": ellipse,
    "L-shape": corner,
    "two that touch": touching,
    "soft edges": soft,
    "text over": text,
    "enlarged 2x": partial(enlarged, factor=2, with_area=False),
    "enlarged 3x": partial(enlarged, factor=3, with_area=False),
    "area enlarged 2x": partial(enlarged, factor=2, with_area=True),
    "area enlarged 3x": partial(enlarged, factor=3, with_area=True),
    "area resized 1.5x": partial(resized, factor=Fraction(3, 2)),
    "area resized 2x": partial(resized, factor=Fraction(2)),
    "area resized 0.52x": partial(resized, factor=Fraction(13, 25)),
    "untouched": untouched,
    "screen": flat,
}


class Counts(NamedTuple):
    """Sums over pictures: true areas, those found right, certain areas, wrong ones of them, pictures, CPU seconds in
    all and at most, and pictures beyond the bound."""

    areas: int = 0
    right: int = 0
    certain: int = 0
    wrong: int = 0
    pictures: int = 0
    seconds: float = 0.0
    most: float = 0.0
    slow: int = 0

    def __add__(self, other: "Counts") -> "Counts":  # type: ignore[override]
        summed = Counts(*(one + more for one, more in zip(self, other, strict=True)))
        return summed._replace(most=max(self.most, other.most))


def is_right(found: ResolvedArea, area: Area, near: int = NEAR) -> bool:
    """Whether an area that is found is a true one, in its blocks. near: pixels that an edge may be off."""
    return _same_place(found, area, near) and all(
        length <= side or abs(float(side) - float(other)) <= NEAR_BLOCKS
        for length, side, other in (
            (area.width, area.block_width or 0, found.grid.width),
            (area.height, area.block_height or 0, found.grid.height),
        )
    )


def _same_place(one: Area, other: Area, near: int) -> bool:
    if one.mask is None and other.mask is None:
        edges = [(a.x, a.y, a.x + a.width, a.y + a.height) for a in (one, other)]
        return bool(np.abs(np.subtract(*edges)).max() <= near)
    shape = max(a.y + a.height for a in (one, other)), max(a.x + a.width for a in (one, other))
    masks = np.zeros((2, *shape), bool)
    for mask, area in zip(masks, (one, other), strict=True):
        mask[area.part] = True if area.mask is None else area.mask
    if near > NEAR:
        found, true = masks
        inner, outer = (change(true, iterations=near) for change in (binary_erosion, binary_dilation))
        return bool((inner <= found).all() and (found <= outer).all())
    return bool(masks.all(axis=0).sum() >= SAME * masks.any(axis=0).sum())


@cache
def _warmed_up() -> None:
    """Load the networks, which is not counted."""
    find(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))


def counted(image: np.ndarray, areas: list[Area], near: int = NEAR) -> Counts:
    """Search a picture with these true areas."""
    _warmed_up()
    start = time.process_time()
    certain = [one.area for one in find(image) if one.certain]
    seconds = time.process_time() - start
    hits = [[is_right(one, area, near) for area in areas] for one in certain]
    found = sum(any(column) for column in zip(*hits, strict=True))
    bound = BOUND[0] + BOUND[1] * image.shape[0] * image.shape[1] / 1e6
    wrong = sum(not any(row) for row in hits)
    return Counts(len(areas), found, len(certain), wrong, 1, seconds, seconds, int(seconds > bound))


def examine(entry: Entry, kind: str, qualities: list[int], seed: int, size: int) -> list[Counts] | None:
    """Counts for each quality; None: not a photo that can be read."""
    image = loaded(entry, size, color=True)
    if image is None:
        return None
    key = uniforms(photo_ids([entry.path]), f"certain {kind} {seed}", 1)[0, 0]
    picture, areas = KINDS[kind](image, np.random.default_rng(int(key * 2**52)))
    near = SOFT if kind == "soft edges" else NEAR
    return [counted(saved(picture, quality), areas, near) for quality in qualities]


def saved(image: np.ndarray, quality: int) -> np.ndarray:
    """After saving and reading; a quality of 0 is lossless."""
    if not quality:
        return np.ascontiguousarray(image)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z = 1.959964
    share, square = hits / count, z * z / count
    middle = (share + square / 2) / (1 + square)
    half = z * np.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(middle - half, 0.0), min(middle + half, 1.0)


HEAD = (
    "kind                  saved as  pictures  areas   right  certain  wrong   wrong     95 % interval  "
    "s mean   s max  slow"
)


def line(kind: str, quality: int | None, sums: Counts) -> str:
    """A line of the table; a quality of None: all of them."""
    saved_as = "all" if quality is None else f"JPEG {quality}" if quality else "lossless"
    low, high = wilson(sums.wrong, sums.certain)
    right = f"{sums.right / sums.areas:6.1%}" if sums.areas else "     -"
    wrong = f"{sums.wrong / sums.certain:6.1%}  {low:7.2%} - {high:6.2%}" if sums.certain else f"     -{'':18}"
    return (
        f"{kind:20}  {saved_as:8}  {sums.pictures:8}  {sums.areas:5}  {right}  {sums.certain:7}  {sums.wrong:5}  "
        f"{wrong}  {sums.seconds / max(sums.pictures, 1):6.2f}  {sums.most:6.2f}  {sums.slow:4}"
    )


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs or folders.")
@click.option("--count", default=100, show_default=True, help="Photos for each kind.")
@click.option("--kinds", metavar="KIND,...", help=f"Only these; all are: {', '.join(KINDS)}.")
@click.option("--qualities", default="0,90,75", show_default=True, help="Of JPEG; 0 = lossless.")
@click.option("--size", default=0, show_default=True, help="Side of the photos, pixels; 0 = as they are.")
@click.option("--seed", default=0, show_default=True, help="Other photos, areas and blocks for another number.")
@click.option("--workers", type=int, help="Processes.  [default: one for each core]")
def main(
    photos: Path, count: int, kinds: str | None, qualities: str, size: int, seed: int, workers: int | None
) -> None:
    chosen = [kind.strip() for kind in kinds.split(",")] if kinds else list(KINDS)
    if unknown := set(chosen) - set(KINDS):
        raise click.UsageError(f"--kinds {', '.join(sorted(unknown))}: the kinds are {', '.join(KINDS)}")
    levels = [int(quality) for quality in qualities.split(",")]
    entries = entries_of(photos, 1)
    ids = photo_ids([entry.path for entry in entries])
    click.echo(HEAD)
    totals = [Counts() for _ in levels]
    for kind in chosen:
        order = np.argsort(uniforms(ids, f"certain {kind} {seed}", 1)[:, 0], kind="stable")[:count]
        work = partial(examine, kind=kind, qualities=levels, seed=seed, size=size)
        done = progress(processes.each(work, [entries[at] for at in order], workers), total=len(order))
        rows = [one for one in done if one is not None]
        sums = [sum((one[i] for one in rows), Counts()) for i in range(len(levels))]
        for quality, one in zip(levels, sums, strict=True):
            click.echo(line(kind, quality, one))
        totals = [total + one for total, one in zip(totals, sums, strict=True)]
    for quality, total in zip(levels, totals, strict=True):
        click.echo(line("all", quality, total))
    if len(levels) > 1:
        click.echo(line("all", None, sum(totals, Counts())))


if __name__ == "__main__":
    main()
