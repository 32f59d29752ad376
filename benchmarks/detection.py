"""Measure the detection of pixelated areas: recall, precision, and false positives in untouched photos.

    python benchmarks/detection.py --photos ../shared/photos

Takes photos of every second contributor, and draws an area and a block size for each as in training. Saves the
pixelated picture without loss and as JPEG of several qualities, gray, at 64 pixels and in the photo's size. The score
limits were set on the other contributors; some rules were changed after a look at about 200 of these photos.

An area counts if it shows at least two blocks of different values. It is found if a certain area has all four edges
within 1 pixel of it, and exact if all edges and blocks are the same. Precision is the share of the certain areas that
are found ones, in pixelated pictures. "untouched" is the share of photos without any area in which a certain one is
reported.

\b
--color       photos in color, as JPEGs with half the color resolution, as most programs save them
--areas 2     two areas in each picture, without overlap
--offsets     the first blocks are cut off, as by tools whose grid begins elsewhere
--enlarged    photos of 128 pixels are enlarged to this size, smooth and with noise like a camera's; --blocks gives
              their block sizes, and areas have sides of 8 blocks up to 1000 pixels
--named       the area is named, as by `--area`: how often it is accepted with its block size and without, how often
              the right size (or one with the same lines) is found, and how often the same place is accepted in the
              untouched photo
"""

import io
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import numpy as np
from PIL import Image

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from depixel.areas.area import Area, ResolvedArea  # noqa: E402
from depixel.areas.grid import Grid, block_means, spread  # noqa: E402
from depixel.base.console import progress  # noqa: E402
from depixel.base.errors import DepixelError  # noqa: E402
from depixel.base.names import photo_ids  # noqa: E402
from depixel.detection.boxes import lines_of  # noqa: E402
from depixel.detection.search import find  # noqa: E402
from depixel.model.pixelation import PixelationSettings, draw_areas, uniforms  # noqa: E402
from depixel.photos import processes  # noqa: E402
from depixel.photos.archives import Entry  # noqa: E402
from depixel.pictures.resolve import resolve  # noqa: E402
from recipes.photos import entries_of, loaded  # noqa: E402

NEAR = 1  # pixels: tolerance of an edge
LARGEST = 1000  # pixels: largest side of an area in an enlarged photo
ENLARGED_FROM, NOISE = 128, 2.0  # photos are enlarged from this size in pixels, with this noise in gray levels


def enlarged(image: np.ndarray, side: int) -> np.ndarray:
    """The photo at `side` x `side` pixels, with noise."""
    image = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(0).normal(0, NOISE, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def pixelated(
    image: np.ndarray,
    name: str,
    count: int,
    offsets: bool = False,
    settings: PixelationSettings | None = None,
) -> tuple[np.ndarray, list[ResolvedArea]]:
    """The picture with `count` areas pixelated, without overlap; and the areas that show at least two blocks."""
    picture, taken = image.copy(), np.zeros(image.shape[:2], dtype=bool)
    shown = []
    for number in range(20 * count):
        u = uniforms(photo_ids([name]), f"detection {number}", 5)
        x, y, width, height, size = draw_areas(u, min(taken.shape), settings or PixelationSettings())[0].tolist()
        place = slice(y, y + height), slice(x, x + width)
        if taken[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2].any():
            continue
        drawn = (uniforms(photo_ids([name]), f"offsets {number}", 2)[0] * size * offsets).astype(int)
        offset, part = (int(drawn[0]), int(drawn[1])), picture[place]
        grid = Grid.square(size, offset)
        means = np.floor(block_means(np.atleast_3d(part), grid))  # as in the challenge
        part[:] = spread(means, grid, part.shape[:2]).reshape(part.shape)
        taken[place] = True
        if (picture[place] != picture[y, x]).any():
            shown.append(Area(x, y, width, height).in_blocks_of(size, offset))
        count -= 1
        if not count:
            break
    return picture, shown


def saved(image: np.ndarray, quality: int) -> np.ndarray:
    """The picture after saving and reading; quality 0: lossless."""
    if not quality:
        return image
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def in_large(blocks: tuple[int, int]) -> PixelationSettings:
    """The settings of areas in enlarged photos with these block sizes."""
    sides = tuple(min(8 * size, LARGEST) for size in blocks)
    return PixelationSettings(width=sides, height=sides, block_size=blocks)


def examine(
    entry: Entry,
    size: int,
    quality: int,
    count: int,
    color: bool,
    offsets: bool,
    side: int,
    blocks: tuple[int, int],
) -> tuple | None:
    """Numbers: areas, found, right sizes, right lines, exact, unsure, certain, certain if untouched; seconds."""
    image = loaded(entry, size, color)
    if image is None:
        return None
    if side:
        image = enlarged(image, side)
    picture, areas = pixelated(image, entry.path, count, offsets, in_large(blocks) if side else None)
    start = time.perf_counter()
    answers = find(saved(picture, quality))
    seconds = time.perf_counter() - start

    def hits(area: ResolvedArea, certain: bool) -> Iterator[ResolvedArea]:
        for one, _, is_certain in answers:
            left, top = one.x - area.x, one.y - area.y
            off = (left, top, left + one.width - area.width, top + one.height - area.height)
            if is_certain == certain and max(map(abs, off)) <= NEAR:
                yield one

    found = [next(hits(area, True), None) for area in areas]
    sizes = [one is not None and one.block_size == area.block_size for one, area in zip(found, areas, strict=True)]
    lines = [one is not None and _same_lines(one, area) for one, area in zip(found, areas, strict=True)]
    exact = [right and one.place == area.place for one, area, right in zip(found, areas, lines, strict=True)]
    unsure = [one is None and any(hits(area, False)) for one, area in zip(found, areas, strict=True)]
    wrong = any(one.certain for one in find(saved(image, quality)))
    certain = sum(one.certain for one in answers)
    return (
        len(areas),
        sum(one is not None for one in found),
        sum(sizes),
        sum(lines),
        sum(exact),
        sum(unsure),
        certain,
        wrong,
        seconds,
    )


def resolved(image: np.ndarray, area: tuple[int, ...]) -> ResolvedArea | None:
    try:
        return resolve(image, [area])[0]
    except DepixelError:
        return None


def examine_named(entry: Entry, size: int, quality: int, color: bool) -> tuple | None:
    """Numbers: areas; accepted with size; without; right size; accepted if untouched, with size; without."""
    image = loaded(entry, size, color)
    if image is None:
        return None
    picture, areas = pixelated(image, entry.path, 1)
    if not areas:
        return None
    (area,) = areas
    picture, untouched = saved(picture, quality), saved(image, quality)
    numbers = area.columns()
    told = resolved(picture, numbers[:4])
    right = told is not None and _same_lines(told, area)
    passed = (
        resolved(of, numbers[:length]) is not None for of, length in ((picture, 5), (untouched, 5), (untouched, 4))
    )
    with_size, *wrong = passed
    return 1, with_size, told is not None, right, *wrong


def _same_lines(one: ResolvedArea, area: ResolvedArea) -> bool:
    """Whether both areas have the same lines between blocks."""
    return all(map(np.array_equal, _lines(one), _lines(area)))


def _lines(area: ResolvedArea) -> tuple[np.ndarray, np.ndarray]:
    """The first pixel of every block but the first, along x and y."""
    size, offset_x, offset_y = area.columns()[4:]
    x = lines_of(area.x, area.x + area.width, size, offset_x)
    return x, lines_of(area.y, area.y + area.height, size, offset_y)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs or folders.")
@click.option("--count", default=500, show_default=True, help="Number of photos.")
@click.option("--areas", default=1, show_default=True, help="Number of areas in each picture.")
@click.option("--sizes", default="64,0", show_default=True, help="Sides of the pictures, pixels; 0 = unchanged.")
@click.option("--qualities", default="0,95,90,75,60", show_default=True, help="JPEG qualities; 0 = lossless.")
@click.option("--color", is_flag=True, help="Photos in color.")
@click.option("--offsets", is_flag=True, help="Areas begin within a block.")
@click.option("--enlarged", "side", default=0, metavar="SIDE", help="Enlarge the photos to this side, pixels.")
@click.option("--blocks", default="4,32", show_default=True, help="Smallest, largest block in enlarged photos, pixels.")
@click.option("--named", is_flag=True, help="Name the areas instead of searching them.")
def main(
    photos: Path,
    count: int,
    areas: int,
    sizes: str,
    qualities: str,
    color: bool,
    offsets: bool,
    side: int,
    blocks: str,
    named: bool,
) -> None:
    entries = entries_of(photos, 1)
    chosen = np.random.default_rng(0).choice(len(entries), min(count, len(entries)), replace=False)
    tasks = [entries[k] for k in chosen]
    if side and named:
        raise click.UsageError("--enlarged and --named cannot be combined: leave out one of them")
    if side:
        sizes = str(ENLARGED_FROM)
    if named:
        _tell_named(tasks, sizes, qualities, color)
        return
    click.echo("  size  saved as  areas  found  precision  block  phase  exact  unsure  untouched  s/picture")
    least, most = map(int, blocks.split(","))
    work = partial(examine, count=areas, color=color, offsets=offsets, side=side, blocks=(least, most))
    for case, pictures, counts in _cases(work, tasks, sizes, qualities, side):
        total, found, right, phase, exact, unsure, certain, wrong, seconds = counts
        click.echo(
            f"{case}  {total:5.0f}  {found / total:5.1%}"
            f"  {found / max(certain, 1):9.1%}  {right / max(found, 1):5.1%}  {phase / max(found, 1):5.1%}"
            f"  {exact / total:5.1%}  {unsure / total:6.1%}  {wrong / pictures:9.1%}  {seconds / pictures:9.2f}"
        )


def _tell_named(tasks: list[Entry], sizes: str, qualities: str, color: bool) -> None:
    click.echo("  size  saved as  areas  with size  without  right size  untouched: with size  without")
    for case, _, (total, *counts) in _cases(partial(examine_named, color=color), tasks, sizes, qualities):
        with_size, without, right, wrong_with, wrong_without = np.array(counts) / total
        click.echo(
            f"{case}  {total:5.0f}  {with_size:9.1%}"
            f"  {without:7.1%}  {right:10.1%}  {wrong_with:20.1%}  {wrong_without:7.1%}"
        )


def _cases(
    work: Callable[..., tuple | None], tasks: list[Entry], sizes: str, qualities: str, side: int = 0
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield for each size and quality: its name in the table, the number of pictures, and the sums of `work`."""
    for size in map(int, sizes.split(",")):
        for quality in map(int, qualities.split(",")):
            found = progress(processes.each(partial(work, size=size, quality=quality), tasks), total=len(tasks))
            rows = [row for row in found if row is not None]
            saved_as = f"JPEG {quality}" if quality else "lossless"
            yield f"{side or size or 'photo':>6}  {saved_as:>8}", len(rows), np.sum(rows, axis=0)


if __name__ == "__main__":
    main()
