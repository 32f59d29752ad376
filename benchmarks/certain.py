"""Measure how often a certain area is wrong, by the kind of picture.

    python benchmarks/certain.py --photos ../shared/photos

Makes pictures of each kind from photos of every second contributor, in color and in the photo's size: pixelated in many
ways, enlarged, resized, and without any area. Searches each without loss and as JPEGs. A certain area is right if all
its edges are within 1 pixel of those of a true area, and if block sizes agree within 0.1 pixels along each axis with
more than one block, or all lines between blocks are at the same pixels, as those of 14.83 and 15 pixels can be. For
other shapes than rectangles, the intersection must be 90 % of the union. Edges that fade into the photo may be 6 pixels
off. "right" is the share of the true areas that are found; "wrong" is the share of the certain areas that are wrong,
with its 95 % interval (Wilson). Seconds are CPU seconds. "slow" counts pictures that take more than 3 s plus 10 s per
megapixel.

Photos, areas and blocks are the same in each run. They depend on the name of the photo, the kind and --seed.
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
from depixel.areas.grid import Grid  # noqa: E402
from depixel.base.console import progress  # noqa: E402
from depixel.base.names import photo_ids  # noqa: E402
from depixel.detection.search import find  # noqa: E402
from depixel.model.pixelation import uniforms  # noqa: E402
from depixel.photos import processes  # noqa: E402
from depixel.photos.archives import Entry  # noqa: E402
from depixel.pictures.pixels import pixelate  # noqa: E402
from depixel.pictures.tools import Tool, counts  # noqa: E402
from recipes.photos import entries_of, loaded  # noqa: E402

NEAR, SOFT = 1, 6  # pixels: tolerance of an edge, and of an edge that fades into the photo
SAME = 0.9  # least intersection over union of two masks
NEAR_BLOCKS = 0.1  # pixels: tolerance of a block's side
BOUND = 3, 10  # CPU seconds per picture, and per megapixel

Draw = np.random.Generator
Made = tuple[np.ndarray, list[Area]]
Kind = Callable[[np.ndarray, Draw], Made]


def drawn(draw: Draw, image: np.ndarray, least: int = 6, most: int = 24, square: bool = True) -> Area:
    """Draw an area with at least 4 blocks a side, if there is room."""
    height, width = image.shape[:2]
    across, down = (int(draw.integers(least, most, endpoint=True)) for _ in range(2))
    down = across if square else down if down != across else down + 2
    sides = [
        min(int(block * draw.uniform(4, 14)), room - 8) for block, room in ((across, width), (down, height))
    ]  # need not be multiples of the block
    x, y = (int(draw.integers(2, room - side - 2)) for side, room in zip(sides, (width, height), strict=True))
    return Area(x, y, *sides, across, block_height=down)


def blocks(image: np.ndarray, draw: Draw, square: bool = True) -> Made:
    """An area in blocks of whole pixels from its corner."""
    area = drawn(draw, image, square=square)
    return pixelate(image, [area]), [area]


def tool(image: np.ndarray, draw: Draw, like: Tool) -> Made:
    """An area as a tool pixelates it, mostly not in blocks of whole pixels."""
    area = drawn(draw, image, square=False)
    area = area.in_grid(*counts(area))
    return pixelate(image, [area], like), [area]


def nearest(image: np.ndarray, draw: Draw) -> Made:
    """An area whose blocks show one of their pixels instead of a mean."""
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
    """An area in the shape of an L, in any of four directions."""
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
    """An area whose edges fade into the photo over some pixels, like a feathered selection."""
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
    """An area of a scaled picture: its edges are rounded to pixels, its block size is not."""
    x0, y0, x1, y1 = (round(edge * factor) for edge in (area.x, area.y, area.x + area.width, area.y + area.height))
    block = Fraction(area.block_width or 0) * factor
    return Area(x0, y0, x1 - x0, y1 - y0, block)


def untouched(image: np.ndarray, draw: Draw) -> Made:
    """The unchanged photo."""
    return image, []


def flat(image: np.ndarray, draw: Draw) -> Made:
    """A drawing like a screenshot, in the photo's size: windows, lines of text, table cells."""
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
        if draw.random() < 0.3:  # a table with cells of a single color
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
    """Sums over pictures.

    Attributes:
        areas, right: number of true areas, and of those that are found right.
        certain, wrong: number of certain areas, and of wrong ones among them.
        pictures, slow: number of pictures, and of those that take longer than `BOUND`.
        seconds, most: CPU seconds, in all and of the slowest picture.
    """

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
    """Whether a found area agrees with a true one in place and block size. near: tolerance of an edge, pixels."""
    if area.block_width is None or area.block_height is None or not _same_place(found, area, near):
        return False
    true = area.in_blocks(Grid(area.block_width, area.block_height))
    sides = (area.width, area.height), true.grid[:2], found.grid[:2], _lines(true), _lines(found)
    return all(
        length <= side or abs(float(side) - float(other)) <= NEAR_BLOCKS or lines == found_lines
        for length, side, other, lines, found_lines in zip(*sides, strict=True)
    )


def _lines(area: ResolvedArea) -> tuple[list[int], list[int]]:
    """The first columns and rows of all blocks but the first ones, in the picture."""
    columns, rows = area.grid.begins(area.width, area.height)
    return (columns[1:] + area.x).tolist(), (rows[1:] + area.y).tolist()


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
    """Load the networks, outside of the timing."""
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
    """The counts for each quality; None: the photo cannot be read."""
    image = loaded(entry, size, color=True)
    if image is None:
        return None
    key = uniforms(photo_ids([entry.path]), f"certain {kind} {seed}", 1)[0, 0]
    picture, areas = KINDS[kind](image, np.random.default_rng(int(key * 2**52)))
    near = SOFT if kind == "soft edges" else NEAR
    return [counted(saved(picture, quality), areas, near) for quality in qualities]


def saved(image: np.ndarray, quality: int) -> np.ndarray:
    """The picture after saving and reading; quality 0: lossless."""
    if not quality:
        return np.ascontiguousarray(image)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson)."""
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
    """A line of the table; quality None: all qualities."""
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
@click.option("--count", default=100, show_default=True, help="Number of photos for each kind.")
@click.option("--kinds", metavar="KIND,...", help=f"Only these of the kinds {', '.join(KINDS)}.")
@click.option("--qualities", default="0,90,75", show_default=True, help="JPEG qualities; 0 = lossless.")
@click.option("--size", default=0, show_default=True, help="Side of the photos, pixels; 0 = unchanged.")
@click.option("--seed", default=0, show_default=True, help="Another seed draws other photos, areas and blocks.")
@click.option("--workers", type=int, help="Number of processes.  [default: one for each core]")
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
